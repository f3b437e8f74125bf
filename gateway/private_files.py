"""Files that hold secrets: written whole with mode 0600, and found out when others can read them."""

from __future__ import annotations

import os
from pathlib import Path

from sigap.problem import Problem

CREDENTIALS = Path("/run/credentials")  # systemd's (systemd.exec(5), Credentials): its modes show an access list's mask


def write_private(path: Path, content: bytes) -> None:
    """Write beside, to disk, then rename: a reader sees the old file or the new one. Raises OSError."""
    beside = path.with_name(path.name + ".part")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:
        os.fchmod(descriptor, 0o600)
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    beside.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on disk: without it a power cut can undo a rename."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_to_others(path: Path) -> bool:
    """Whether other users may read or write it. A file of root's that one of this process's groups may read
    (root:sigap, 0640) is not open, nor is a credential of systemd's, nor a file that is not there."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return False
    if CREDENTIALS in path.absolute().parents:
        return False
    bits = found.st_mode & 0o077
    if found.st_uid == 0 and found.st_gid in {os.getegid(), *os.getgroups()}:
        bits &= ~0o040
    return bits != 0


def narrow(path: Path, what: str) -> str | None:
    """Take the rights of others away from a file or folder; a sentence that says so, None when there were none.

    Problem when it belongs to somebody else, who has to do it.
    """
    if not open_to_others(path):
        return None
    mode = path.stat().st_mode & 0o777
    less = mode & 0o700
    try:
        path.chmod(less)
    except OSError as error:
        raise Problem(
            f"{what} {path} is open to other users (mode {mode:04o}) and cannot be closed: {error.strerror}",
            f"As its owner or root: chmod {less:o} {path}",
        ) from error
    return f"{what} {path} was open to other users (mode {mode:04o}) and is {less:04o} now; change what is in it"
