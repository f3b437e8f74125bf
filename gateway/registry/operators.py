"""Operators of the desk: who may log in, as what. Passwords are kept as argon2id hashes only.

Hashing takes a tenth of a second by design: never on the event loop, never inside a transaction.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import sqlalchemy as sa
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from gateway.registry.names import BadValue, language_of, person_name_of
from gateway.store.schema import operators, sessions
from gateway.words import DEFAULT, LANGUAGES
from sigap.problem import USAGE, Problem

OPERATOR, ADMINISTRATOR = "operator", "administrator"
ROLES = (OPERATOR, ADMINISTRATOR)
LEAST_CHARACTERS, MOST_CHARACTERS = 10, 200
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # none that look alike; 79 bits in 16
_hasher = PasswordHasher()
# Verified when nobody has the name, so that the time of an answer does not tell which names exist. No password's hash,
# and put together, because to make one takes every start of a command a tenth of a second.
_NOBODY = f"$argon2id$v=19$m={_hasher.memory_cost},t={_hasher.time_cost},p={_hasher.parallelism}${'A' * 22}${'A' * 43}"


@dataclass(frozen=True, slots=True)
class Operator:
    """Somebody who works at the desk."""

    id: int
    name: str
    role: str
    revoked: bool = False
    language: str = DEFAULT


def hash_password(password: str) -> str:
    """The argon2id hash. Problem for one that is too short or too long. Slow by design."""
    if not LEAST_CHARACTERS <= len(password) <= MOST_CHARACTERS:
        what = f"the password has {len(password)} characters"
        raise Problem(what, f"Use {LEAST_CHARACTERS} to {MOST_CHARACTERS}", USAGE)
    return _hasher.hash(password)


def new_password() -> str:
    """One at random, that can be read out and typed."""
    return "-".join("".join(secrets.choice(_LETTERS) for _ in range(4)) for _ in range(4))


def is_password(password: str, password_hash: str | None) -> bool:
    """Whether the password is right; False, after as long, where there is no hash. Slow by design."""
    try:
        _hasher.verify(password_hash or _NOBODY, password[: MOST_CHARACTERS + 1])
    except (VerificationError, InvalidHashError):
        return False
    return password_hash is not None


def add_operator(
    conn: sa.Connection, *, name: str, password_hash: str, role: str, now_us: int, language: str = DEFAULT
) -> Operator:
    """Add an operator and return it. Problem for a name that is taken (also by a revoked one), a wrong role."""
    name = person_name_of(name, "operator")
    if role not in ROLES:
        raise BadValue("role", f"the role {role!r} is unknown", f"Use one of {', '.join(ROLES)}")
    language_of(language)
    if find_hash(conn, name)[0] is not None:
        todo = "Choose another; `sigap operator list` shows all"
        raise BadValue("name", f"the operator name {name} is taken", todo)
    values = {"name": name, "password_hash": password_hash, "role": role, "language": language, "created_at": now_us}
    done = conn.execute(operators.insert().values(**values))
    assert done.inserted_primary_key is not None
    return Operator(done.inserted_primary_key[0], name, role, language=language)


def find_hash(conn: sa.Connection, name: str) -> tuple[Operator | None, str | None]:
    """The operator of this name, and the hash to verify: None for a revoked one and for nobody."""
    row = conn.execute(sa.select(operators).where(operators.c.name == name)).first()
    if row is None:
        return None, None
    found = _operator(row)
    return found, None if found.revoked else row.password_hash


def get_operator(conn: sa.Connection, operator_id: int) -> Operator | None:
    """The operator with this id, revoked or not, or None."""
    row = conn.execute(sa.select(operators).where(operators.c.id == operator_id)).first()
    return None if row is None else _operator(row)


def list_operators(conn: sa.Connection) -> list[Operator]:
    """Every operator, the revoked ones too, by name."""
    return [_operator(row) for row in conn.execute(sa.select(operators).order_by(operators.c.name)).all()]


def set_language(conn: sa.Connection, operator_id: int, language: str) -> None:
    """In which language somebody's desk speaks from now on. ValueError for one that it does not."""
    if language not in LANGUAGES:
        raise ValueError(language)
    conn.execute(operators.update().where(operators.c.id == operator_id).values(language=language))


def revoke_operator(conn: sa.Connection, name: str, now_us: int) -> Operator:
    """Take somebody's rights, and end their sessions. Problem for an unknown name."""
    found, _ = find_hash(conn, person_name_of(name, "operator"))
    if found is None or found.revoked:
        raise Problem(f"there is no operator {name} in use", "`sigap operator list` shows all", USAGE)
    conn.execute(operators.update().where(operators.c.id == found.id).values(revoked_at=now_us))
    conn.execute(sessions.delete().where(sessions.c.operator_id == found.id))
    return found


def _operator(row: sa.Row) -> Operator:
    return Operator(row.id, row.name, row.role, row.revoked_at is not None, row.language)
