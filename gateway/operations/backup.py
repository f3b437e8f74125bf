"""A backup: one file, made while the gateway runs, that is verified before it gets its name.

It is a tar archive of `manifest.json`, `sigap.db` (SQLite's VACUUM INTO: one moment's state, without what was deleted),
`sigap.toml` and the broker's authority and certificate, with each file's SHA-256 in the manifest. The master key is in
it only when that is asked for: whoever has both can read and forge every device's frames.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gateway.broker.certificates import AUTHORITY, AUTHORITY_KEY, CERTIFICATE, KEY
from gateway.private_files import sync_folder
from gateway.settings import Settings
from gateway.store import keys, migrations, schema
from gateway.store.engine import Store, open_store
from sigap.problem import USAGE, Problem

FORMAT = 1
MANIFEST, DATABASE, SETTINGS = "manifest.json", "sigap.db", "sigap.toml"
BROKER_FILES = tuple(f"broker/{name}" for name in (AUTHORITY, AUTHORITY_KEY, CERTIFICATE, KEY))


@dataclass(frozen=True)
class Made:
    """file: the backup; manifest: what is in it."""

    file: Path
    manifest: dict[str, Any]


def make_backup(settings: Settings, out: Path, *, with_master_key: bool, now: datetime) -> Made:
    """Write the backup to the new file `out`, mode 0600. Problem, and no file, when anything is wrong with it."""
    if out.exists():
        raise Problem(f"{out} is there already", "Name a new file: a backup is never overwritten", USAGE)
    try:
        out.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open_store(settings.store_url) as store, _beside(out) as folder:
            copy = folder / DATABASE
            _copy(store, copy)
            keyring = keys.keyring_of(store.engine.dialect)
            # The key lies beside the copy only for as long as it is verified.
            verify_database(copy, keyring.path)
            files = {DATABASE: copy, **_others(settings)}
            if with_master_key:
                files[keys.FILE] = keyring.path
            manifest = _manifest(settings, copy, files, keyring.id if with_master_key else None, now)
            _write(folder / "archive", manifest, files)
            os.link(folder / "archive", out)  # unlike a rename, it overwrites nothing
        sync_folder(out.absolute().parent)
    except FileExistsError as error:
        raise Problem(f"{out} is there already", "Name a new file", USAGE) from error
    except OSError as error:
        raise Problem(f"the backup {out} cannot be written: {error.strerror}", "Name another place") from error
    return Made(out.absolute(), manifest)


def default_name(settings: Settings, now: datetime) -> str:
    """polres-semarang-20261126T031500Z.sigap-backup"""
    return f"{settings.gateway.name}-{now.strftime('%Y%m%dT%H%M%SZ')}.sigap-backup"


def verify_database(path: Path, master_key: Path | None = None) -> None:
    """Problem when the file is damaged, or (with master_key) when its devices' keys cannot be opened with that."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            said = [row[0] for row in connection.execute("PRAGMA integrity_check(5)")]
            loose = connection.execute("PRAGMA foreign_key_check").fetchmany(5)
            wrapped = [row[0] for row in connection.execute("SELECT root_key FROM devices")] if master_key else []
    except sqlite3.DatabaseError as error:
        said, loose, wrapped = [str(error)], [], []
    if said != ["ok"] or loose:
        what = "; ".join(said if said != ["ok"] else [f"{row[0]} row {row[1]} refers to nothing" for row in loose])
        raise Problem(f"the database is damaged: {what}", "Keep the last good backup, and check the disk")
    if master_key is not None:
        keyring = keys.Keyring(master_key)
        for each in wrapped:
            keyring.require(each)


def _copy(store: Store, to: Path) -> None:
    if not store.is_sqlite:
        raise Problem("the store is PostgreSQL", "Back it up with pg_dump; the master key is a file beside it", USAGE)
    store.copy_to(to)


@contextmanager
def _beside(out: Path) -> Iterator[Path]:
    """A folder on the same disk as the backup, for its owner only, gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix=".sigap-backup-", dir=out.absolute().parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _others(settings: Settings) -> dict[str, Path]:
    found = {name: settings.data_dir / name for name in BROKER_FILES}
    if settings.file is not None:
        found[SETTINGS] = settings.file
    return {name: path for name, path in found.items() if path.exists()}


def _manifest(
    settings: Settings, copy: Path, files: dict[str, Path], key_id: str | None, now: datetime
) -> dict[str, Any]:
    with closing(sqlite3.connect(f"file:{copy}?mode=ro", uri=True)) as connection:
        tables = (schema.devices, schema.owners, schema.operators, schema.incidents, schema.events)
        numbers = {each.name: connection.execute(f"SELECT count(*) FROM {each.name}").fetchone()[0] for each in tables}
        wrapped = [bytes(row[0]) for row in connection.execute("SELECT DISTINCT substr(root_key, 1, 4) FROM devices")]
    return {
        "sigap_backup": FORMAT,
        "made_at": now.astimezone(UTC).isoformat(timespec="seconds"),
        "gateway": settings.gateway.name,
        "schema": migrations.HEAD,
        "wrapped_under": sorted(each.hex() for each in wrapped),
        "master_key": key_id,
        "rows": numbers,
        "files": {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in sorted(files.items())},
    }


def _write(path: Path, manifest: dict[str, Any], files: dict[str, Path]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:
        with tarfile.open(fileobj=file, mode="w") as archive:
            said = json.dumps(manifest, ensure_ascii=False, indent=2).encode()
            _add(archive, MANIFEST, io.BytesIO(said), len(said))
            for name, source in sorted(files.items()):
                with source.open("rb") as content:
                    _add(archive, name, content, os.fstat(content.fileno()).st_size)
        file.flush()
        os.fsync(descriptor)


def _add(archive: tarfile.TarFile, name: str, content: Any, size: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o600
    archive.addfile(entry, content)
