"""Another master key for a store: every device's key is wrapped anew, in one transaction."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from gateway.private_files import write_private
from gateway.store.engine import Store
from gateway.store.keys import ID_BYTES, KEY_BYTES, Keyring, key_id, key_text, keyring_of, read_key
from sigap.problem import Problem

# The column as it is stored: schema.py's would unwrap it.
_DEVICES = sa.table("devices", sa.column("id", sa.BigInteger), sa.column("root_key", sa.LargeBinary))


@dataclass(frozen=True)
class Rotated:
    """id, before: names of the new key and of the one before, whose file is `kept`; devices: how many were wrapped."""

    id: str
    before: str
    devices: int
    kept: Path


def wrapped_under(store: Store) -> dict[str, int]:
    """How many devices' keys are wrapped under each master key, by its id."""
    with store.read() as conn:
        rows = conn.execute(sa.select(_DEVICES.c.root_key)).scalars()
        found: dict[str, int] = {}
        for wrapped in rows:
            name = bytes(wrapped[:ID_BYTES]).hex()
            found[name] = found.get(name, 0) + 1
    return found


def rotate(store: Store) -> Rotated:
    """Wrap every key under a new master key, whose file takes the old one's place.

    Killed at any moment, each key is in a file that the keyring looks into: the old one is kept as FILE.<id>, and the
    new one is in its place before what it wraps is committed.
    """
    keyring = keyring_of(store.engine.dialect)
    before = read_key(keyring.path)
    assert before is not None, "an open store has its master key"
    name = key_id(before).hex()
    kept = keyring.path.with_name(f"{keyring.path.name}.{name}")
    try:
        write_private(kept, key_text(before))
        with store.write() as conn:
            devices = _wrap_anew(conn, keyring)
    except OSError as error:
        todo = "Give this user the right to write beside it; a credential of systemd's is changed where it is made"
        raise Problem(f"the master key {keyring.path} cannot be replaced: {error.strerror}", todo) from error
    store.checkpoint(hard=True)
    return Rotated(keyring.id or "", name, devices, kept)


def _wrap_anew(conn: sa.Connection, keyring: Keyring) -> int:
    if conn.dialect.name == "sqlite":
        conn.exec_driver_sql("PRAGMA secure_delete=ON")
    opened = [(row.id, keyring.unwrap(row.root_key)) for row in conn.execute(sa.select(_DEVICES))]
    # Inside the transaction, so that whoever adds a device next wraps under the new one.
    write_private(keyring.path, key_text(secrets.token_bytes(KEY_BYTES)))
    keyring.reload()
    change = _DEVICES.update().where(_DEVICES.c.id == sa.bindparam("device"))
    for device, secret in opened:
        conn.execute(change, {"device": device, "root_key": keyring.wrap(secret)})
    return len(opened)
