"""Back from a backup: verified whole before anything is touched, and made fit to go on from the past.

The devices went on counting after the backup was made, and so did this gateway. What follows:
- A new epoch of commands begins, greater than every one before, so no nonce of a command is used twice.
- Commands that were under way are given up: their devices may have done later ones, and do none that is older.
- The replay windows are the backup's. Devices' counters are ahead of them, so every frame of theirs is accepted; what
  was seen before the backup is refused as before; what was seen after it is new to this store, as its alarms are.
- Nobody is logged in. What was revoked after the backup is not revoked here: `sigap restore` says so.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tarfile
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from gateway.operations.backup import BROKER_FILES, DATABASE, FORMAT, MANIFEST, SETTINGS, verify_database
from gateway.outbox.rows import count
from gateway.private_files import sync_folder, write_private
from gateway.settings import Settings, load_settings
from gateway.store import keys, schema
from gateway.store.engine import Store, open_store, sqlite_url
from gateway.supervision import commands
from sigap.problem import USAGE, Problem

NAMES = {MANIFEST, DATABASE, SETTINGS, keys.FILE, *BROKER_FILES}
MOST_MANIFEST_BYTES = 1 << 20


@dataclass
class Restored:
    """What was done. written: files put in their places; kept: those that were there and stay; aside: where the
    database that was there is now; given_up: commands; epoch: of commands from now on."""

    manifest: dict[str, Any]
    database: Path
    epoch: int = 0
    given_up: int = 0
    aside: Path | None = None
    written: list[Path] = field(default_factory=list)
    kept: list[Path] = field(default_factory=list)


def read_manifest(file: Path) -> dict[str, Any]:
    """What is in a backup. Problem for anything else."""
    try:
        with tarfile.open(file, "r:") as archive:
            entry = archive.next()
            content = archive.extractfile(entry) if entry is not None and entry.name == MANIFEST else None
            manifest = {} if content is None else json.loads(content.read(MOST_MANIFEST_BYTES))
    except FileNotFoundError:
        raise Problem(f"there is no file {file}", "Name a backup that `sigap backup` made", USAGE) from None
    except (OSError, tarfile.TarError, ValueError) as error:
        raise Problem(f"{file} cannot be read as a backup: {error}", "Take an older one", USAGE) from error
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        raise Problem(f"{file} is no backup of Sigap's", "Name a file that `sigap backup` made", USAGE)
    if manifest.get("sigap_backup") != FORMAT or not set(manifest["files"]) <= NAMES:
        raise Problem(f"{file} was made by a newer Sigap", "Install that version, and restore with it")
    return manifest


def restore(file: Path, config: Path, *, replace: bool, now_us: int) -> Restored:
    """Put a backup's content in its places. Nothing is changed before all of it was verified.

    Settings, master key and the broker's files that are there already stay. A database that is there is a Problem
    unless `replace`; then it is moved aside. The gateway must not run.
    """
    manifest = read_manifest(file)
    work = Path(tempfile.mkdtemp(prefix=".sigap-restore-", dir=config.absolute().parent))
    try:
        _unpack(file, manifest, work)
        # The backup's own settings, seen from where they will be, when there are none here.
        chosen = config if config.exists() else shutil.copy(work / SETTINGS, config.with_name(work.name + ".toml"))
        try:
            settings = load_settings(chosen)
        finally:
            if chosen != config:
                Path(chosen).unlink()
        return _put(settings, manifest, work, config, replace, now_us)
    except OSError as error:
        raise Problem(f"{file} cannot be restored: {error}", "Free some space, or mend the rights") from error
    finally:
        shutil.rmtree(work)


def _unpack(file: Path, manifest: dict[str, Any], work: Path) -> None:
    wanted = set(manifest["files"])
    with tarfile.open(file, "r:") as archive:
        for entry in archive:
            content = archive.extractfile(entry) if entry.name in wanted and entry.isreg() else None
            if content is None:
                continue
            wanted.discard(entry.name)
            to = work / entry.name
            to.parent.mkdir(mode=0o700, exist_ok=True)
            descriptor = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with open(descriptor, "wb") as out:
                shutil.copyfileobj(content, out)
            with to.open("rb") as written:
                digest = hashlib.file_digest(written, "sha256").hexdigest()
            if digest != manifest["files"][entry.name]:
                raise Problem(f"{entry.name} in {file} is damaged", "Take another copy of it, or an older backup")
    if wanted or DATABASE not in manifest["files"]:
        raise Problem(f"{file} lacks {', '.join(sorted(wanted)) or DATABASE}", "Take another copy, or an older backup")


def _put(
    settings: Settings, manifest: dict[str, Any], work: Path, config: Path, replace: bool, now_us: int
) -> Restored:
    url = sa.make_url(settings.store_url)
    if url.get_backend_name() != "sqlite":
        raise Problem("[store] url is PostgreSQL, and this is a backup of SQLite", "Take [store] url out", USAGE)
    database = Path(url.database or "").absolute()
    done = Restored(manifest, database)
    if database.exists() and not replace:
        todo = "Is this the right machine? With --replace the one that is there is moved aside"
        raise Problem(f"there is a database already, {database}", todo, USAGE)
    verify_database(work / DATABASE)
    beside = _keys_for(settings, manifest, work)
    database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = database.with_name(database.name + ".restored")
    _clear(fresh)
    shutil.copyfile(work / DATABASE, fresh)
    fresh.chmod(0o600)
    older = _newest_epoch(database, settings) if database.exists() else 0
    with open_store(f"{sqlite_url(fresh)}?master_key={beside}") as store:
        went_on = go_on(store, older=older, now_us=now_us)
        done.epoch, done.given_up = went_on.epoch, went_on.given_up
        store.checkpoint(hard=True)
    verify_database(fresh, beside)
    _put_files(settings, work, config, beside, done)
    if database.exists():
        done.aside = database.with_name(f"{database.name}.before-{now_us // 1_000_000}")
        for suffix in ("-wal", "-shm", ""):  # a log without its database would be taken for the next one's
            if (each := database.with_name(database.name + suffix)).exists():
                each.rename(done.aside.with_name(done.aside.name + suffix))
    _clear(database, but_it=True)
    fresh.rename(database)
    _clear(fresh)
    sync_folder(database.parent)
    return done


@dataclass(frozen=True)
class GoesOn:
    """epoch: of commands from now on; given_up: commands."""

    epoch: int
    given_up: int


def go_on(store: Store, *, older: int = 0, now_us: int) -> GoesOn:
    """Make a database of the past fit to go on. older: an epoch of commands that was used after it was made."""
    with store.write() as conn:
        given_up = commands.give_up_all(conn, now_us)
        if older:  # a clock that was wrong once, or two restores of one backup
            known = sa.select(schema.downlink_epochs.c.epoch).where(schema.downlink_epochs.c.epoch == older)
            if conn.execute(known).first() is None:
                conn.execute(schema.downlink_epochs.insert().values(epoch=older))
        epoch = commands.begin_downlink_epoch(conn, now_us)
        conn.execute(schema.sessions.delete())
        count(conn, "store.restored")
    return GoesOn(epoch, given_up)


def _newest_epoch(database: Path, settings: Settings) -> int:
    """Of commands that the database which is replaced has sent; 0 when it cannot be read any more."""
    try:
        with open_store(settings.store_url) as store:
            with store.read() as conn:
                newest = conn.execute(sa.select(sa.func.max(schema.downlink_epochs.c.epoch))).scalar()
            store.checkpoint(hard=True)
        return newest or 0
    except Problem:
        return 0


def _keys_for(settings: Settings, manifest: dict[str, Any], work: Path) -> Path:
    """A master key's file in `work` that opens the backup, with those that are here beside it."""
    kept, packed = settings.master_key, work / keys.FILE
    here = [kept, *kept.parent.glob(f"{kept.name}.*")] if kept.parent.is_dir() else [kept]
    for path in here:
        if path.is_file() and (found := keys.read_key(path)) is not None:
            name = f"{keys.FILE}.{keys.key_id(found).hex()}"
            write_private(work / name, keys.key_text(found))
            if path == kept and not packed.exists():
                write_private(packed, keys.key_text(found))
    keyring = keys.Keyring(packed)
    lacking = [each for each in manifest.get("wrapped_under", []) if not keyring.knows(bytes.fromhex(each))]
    if lacking:
        todo = f"Put its file there from where you keep it, or beside it as {kept.name}.{lacking[0]}"
        raise Problem(f"the backup needs the master key {lacking[0]}, and {kept} is not it", todo)
    return packed


def _put_files(settings: Settings, work: Path, config: Path, packed: Path, done: Restored) -> None:
    places = {work / SETTINGS: config, packed: settings.master_key}
    places |= {work / name: settings.data_dir / name for name in BROKER_FILES}
    for source, to in places.items():
        if not source.exists():
            continue
        if to.exists():
            if to == settings.master_key and to.read_bytes() != source.read_bytes():
                # Another one wraps here by now: the backup's lies beside it, and opens what it wrapped.
                found = keys.read_key(source)
                assert found is not None
                to = to.with_name(f"{to.name}.{keys.key_id(found).hex()}")
            elif to.read_bytes() != source.read_bytes() or to == config:
                done.kept.append(to)
                continue
            else:
                continue
        to.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(to, source.read_bytes())
        done.written.append(to)


def _clear(path: Path, *, but_it: bool = False) -> None:
    for suffix in ("-wal", "-shm", *(() if but_it else ("",))):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
