"""A certificate for 127.0.0.1 and the authority that signed it, by the gateway's own maker of both."""

from __future__ import annotations

from pathlib import Path

from gateway.broker.certificates import AUTHORITY, CERTIFICATE, KEY, ensure


def authority_and_certificate(folder: Path) -> tuple[Path, Path, Path]:
    """(authority, certificate, key), as PEM files that another user (the broker's) can read."""
    ensure(folder, "127.0.0.1")
    for name in (AUTHORITY, CERTIFICATE, KEY):
        (folder / name).chmod(0o644)
    folder.chmod(0o755)
    return folder / AUTHORITY, folder / CERTIFICATE, folder / KEY
