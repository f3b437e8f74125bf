"""The master key, which wraps the root key of every device in the store: a copy of the database alone opens nothing.

A master key is a file of one line, `sigap-master-key-1 <64 hex digits>`, so that it can be printed and locked away.
What it wraps is `id (4) | nonce (12) | AES-256-GCM (NIST SP 800-38D) of the secret, with its tag`. The id names the
key, so that a store that was restored from before is read with whichever fits.

Beside FILE there may be FILE.<id>: the keys that were in its place before.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import secrets
import threading
from pathlib import Path
from weakref import WeakKeyDictionary

import sqlalchemy as sa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy.exc import DontWrapMixin

from gateway.private_files import narrow, sync_folder, write_private
from sigap.problem import Problem

log = logging.getLogger("sigap.store")

FILE = "master.key"
WORD = "sigap-master-key-1"
KEY_BYTES, ID_BYTES, NONCE_BYTES = 32, 4, 12
_PURPOSE = b"sigap device root key 1"


class KeyProblem(Problem, ValueError, DontWrapMixin):
    """A key that cannot be had, or does not fit. Not a KeyProblem: of one damaged row, the ingest must not wait for
    the store to come back while other devices' alarms stand behind it."""


class Keyring:
    """The master keys in and beside the file `path`; the file's own wraps. Methods may be called from any thread."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._keys: dict[bytes, AESGCM] = {}
        self._current: bytes | None = None
        self._stamp: tuple[int, int] | None = None
        self.reload()

    @property
    def id(self) -> str | None:
        """The eight hex digits of the key that wraps; None when there is no file."""
        return None if self._current is None else self._current.hex()

    def knows(self, wrapped: bytes) -> bool:
        """Whether the key that wrapped this is here."""
        return wrapped[:ID_BYTES] in self._keys

    def reload(self) -> None:
        """Read the files again: another process may have changed the key."""
        keys: dict[bytes, AESGCM] = {}
        current, stamp = None, self._stamp_now()
        beside = sorted(self.path.parent.glob(f"{self.path.name}.*")) if self.path.parent.is_dir() else []
        for path in (*(each for each in beside if _is_key_name(each, self.path)), self.path):
            key = read_key(path)
            if key is not None:
                current = key_id(key)
                keys[current] = AESGCM(key)
        self._keys, self._stamp = keys, stamp
        self._current = None if stamp is None else current

    def wrap(self, secret: bytes) -> bytes:
        """The secret as it is stored."""
        if self._stamp != self._stamp_now():
            self.reload()
        if self._current is None:
            raise self._missing()
        nonce = secrets.token_bytes(NONCE_BYTES)
        return self._current + nonce + self._keys[self._current].encrypt(nonce, secret, _PURPOSE)

    def unwrap(self, wrapped: bytes) -> bytes:
        """The secret again. KeyProblem when its key is not here, or it is damaged."""
        key = self._keys.get(wrapped[:ID_BYTES])
        if key is None:
            self.reload()
            key = self._keys.get(wrapped[:ID_BYTES])
        if key is None:
            raise self._unknown(wrapped)
        nonce, sealed = wrapped[ID_BYTES : ID_BYTES + NONCE_BYTES], wrapped[ID_BYTES + NONCE_BYTES :]
        try:
            return key.decrypt(nonce, sealed, _PURPOSE)
        except InvalidTag as error:
            todo = "Restore the newest backup, or provision its device anew"
            raise KeyProblem("a wrapped key in the store is damaged", todo) from error

    def require(self, wrapped: bytes) -> None:
        """KeyProblem when the store's keys, of which this is one, cannot be opened."""
        if self._current is None:
            raise self._missing()
        if not self.knows(wrapped):
            raise self._unknown(wrapped)
        self.unwrap(wrapped)

    def make(self) -> bool:
        """Write a new master key where there is none; False when there is one."""
        if self._current is not None:
            return False
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            beside = self.path.with_name(f"{self.path.name}.{os.getpid()}.{threading.get_ident()}.made")
            write_private(beside, key_text(secrets.token_bytes(KEY_BYTES)))
            try:
                os.link(beside, self.path)  # unlike a rename, it leaves another process's key alone
            except FileExistsError:
                log.info("another process made the master key %s", self.path)
            finally:
                beside.unlink()
            sync_folder(self.path.parent)
        except OSError as error:
            todo = "Give this user the right to write there, or set [store] master_key"
            raise Problem(f"the master key {self.path} cannot be written: {error.strerror}", todo) from error
        self.reload()
        return True

    def _stamp_now(self) -> tuple[int, int] | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns

    def _missing(self) -> KeyProblem:
        todo = f"Put it there from where you keep it; without it, every device must be provisioned anew ({WORD} …)"
        return KeyProblem(f"the master key {self.path} is missing", todo)

    def _unknown(self, wrapped: bytes) -> KeyProblem:
        wanted = wrapped[:ID_BYTES].hex()
        return KeyProblem(
            f"the store's keys are wrapped under the master key {wanted}, and {self.path} is {self.id or 'missing'}",
            f"Put the key {wanted} in its place, or beside it as {self.path.name}.{wanted}",
        )


def key_id(key: bytes) -> bytes:
    """What names a master key, and says nothing of it."""
    return hashlib.sha256(b"sigap master key id\0" + key).digest()[:ID_BYTES]


def key_text(key: bytes) -> bytes:
    """The content of a master key's file."""
    return f"{WORD} {key.hex()}\n".encode()


def read_key(path: Path) -> bytes | None:
    """The key in a file, None when there is none. Others' rights to it are taken away, and said."""
    try:
        text = path.read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        todo = "Give this user the right to read it"
        raise KeyProblem(f"the master key {path} cannot be read: {error.strerror}", todo) from error
    said = narrow(path, "the master key")
    if said is not None:
        log.warning("%s", said)
    word, _, digits = text.strip().partition(" ")
    if word != WORD or not re.fullmatch(f"[0-9a-f]{{{2 * KEY_BYTES}}}", digits):
        todo = f"It is one line, {WORD} and {2 * KEY_BYTES} hex digits; put it back from where you keep it"
        raise KeyProblem(f"{path} is no master key", todo)
    return bytes.fromhex(digits)


def _is_key_name(path: Path, of: Path) -> bool:
    return re.fullmatch(r"[0-9a-f]{8}", path.name.removeprefix(of.name + ".")) is not None


_keyrings: WeakKeyDictionary[sa.Dialect, Keyring] = WeakKeyDictionary()


def attach(engine: sa.Engine, keyring: Keyring) -> None:
    """Let this engine's wrapped columns use the keyring."""
    _keyrings[engine.dialect] = keyring


def keyring_of(dialect: sa.Dialect) -> Keyring:
    """The keyring of the engine that this dialect belongs to: each engine has a dialect of its own."""
    return _keyrings[dialect]


class Wrapped(sa.types.TypeDecorator[bytes]):
    """Bytes that are in the database only as the master key wraps them. No query can forget to."""

    impl = sa.LargeBinary
    cache_ok = True

    def process_bind_param(self, value: bytes | None, dialect: sa.Dialect) -> bytes | None:
        return None if value is None else keyring_of(dialect).wrap(value)

    def process_result_value(self, value: bytes | None, dialect: sa.Dialect) -> bytes | None:
        return None if value is None else keyring_of(dialect).unwrap(value)
