"""Owners and their relatives. Every function works inside the caller's transaction."""

from __future__ import annotations

import re
from dataclasses import dataclass

import sqlalchemy as sa

from gateway.registry.names import BadValue, language_of, person_name_of
from gateway.store.prepared import prepared
from gateway.store.schema import devices, owners, relatives
from sigap.problem import USAGE, Problem

_CHANNEL = re.compile(r"[a-z][a-z0-9+.-]*://\S+")  # an Apprise URL, such as mailto://…
_TELEPHONE = re.compile(r"\+?[0-9][0-9 ().-]{2,30}")
TEXT_LIMIT = 500


@dataclass(frozen=True, slots=True)
class Owner:
    """Who devices belong to."""

    id: int
    name: str
    telephone: str | None = None
    address: str | None = None
    language: str = "id"
    registered_message: str | None = None
    revoked: bool = False


@dataclass(frozen=True, slots=True)
class Relative:
    """A person on an owner's list. channel: where messages for them go, a URL such as mailto://…"""

    id: int
    owner_id: int
    name: str
    channel: str
    wants_tests: bool = False
    revoked: bool = False


def add_owner(
    conn: sa.Connection,
    *,
    name: str,
    telephone: str | None = None,
    address: str | None = None,
    language: str = "id",
    registered_message: str | None = None,
    now_us: int,
) -> Owner:
    """Add an owner and return it. Problem for a name that is taken (also by a revoked owner), a bad value."""
    name = person_name_of(name, "owner")
    language_of(language)
    if telephone is not None and not _TELEPHONE.fullmatch(telephone):
        what = f"the telephone number {telephone!r} does not fit"
        raise BadValue("telephone", what, "Use digits, such as +62 24 1234567")
    for column, what, text in (("address", "address", address), ("message", "registered message", registered_message)):
        if text is not None and len(text) > TEXT_LIMIT:
            raise BadValue(column, f"the {what} has {len(text)} characters", f"Use at most {TEXT_LIMIT}")
    taken = conn.execute(sa.select(owners.c.revoked_at).where(owners.c.name == name)).first()
    if taken is not None:
        was = "was used by a revoked owner" if taken.revoked_at is not None else "is taken"
        raise BadValue("name", f"the owner name {name} {was}", "Choose another; `sigap owner list` shows all")
    values = {
        "name": name,
        "telephone": telephone,
        "address": address,
        "language": language,
        "registered_message": registered_message,
    }
    done = conn.execute(owners.insert().values(created_at=now_us, **values))
    assert done.inserted_primary_key is not None
    return Owner(id=done.inserted_primary_key[0], **values)


def _owner(row: sa.Row) -> Owner:
    fields = row._asdict()
    return Owner(revoked=fields.pop("revoked_at") is not None, **fields)


_OWNER_COLUMNS = (
    owners.c.id,
    owners.c.name,
    owners.c.telephone,
    owners.c.address,
    owners.c.language,
    owners.c.registered_message,
    owners.c.revoked_at,
)
_OWNER_BY_ID = prepared(sa.select(*_OWNER_COLUMNS).where(owners.c.id == sa.bindparam("owner")))


def get_owner(conn: sa.Connection, owner_id: int) -> Owner | None:
    """The owner with this id, revoked or not."""
    row = conn.execute(_OWNER_BY_ID, {"owner": owner_id}).first()
    return None if row is None else _owner(row)


def find_owner(conn: sa.Connection, name: str) -> Owner:
    """The owner with this name who is not revoked; a Problem when there is none."""
    name = person_name_of(name, "owner", "owner")
    query = sa.select(*_OWNER_COLUMNS).where(owners.c.name == name, owners.c.revoked_at.is_(None))
    row = conn.execute(query).first()
    if row is None:
        raise BadValue("owner", f"there is no owner named {name}", "Add one with `sigap owner add`")
    return _owner(row)


def list_owners(conn: sa.Connection) -> list[Owner]:
    """Every owner by name, the revoked ones too."""
    return [_owner(row) for row in conn.execute(sa.select(*_OWNER_COLUMNS).order_by(owners.c.name))]


def revoke_owner(conn: sa.Connection, name: str, now_us: int) -> Owner:
    """Revoke an owner and the owner's relatives.

    A Problem while a device still belongs to the owner: a button that works must have somebody behind it.
    """
    owner = find_owner(conn, name)
    held = conn.execute(
        sa.select(devices.c.name).where(devices.c.owner_id == owner.id, devices.c.revoked_at.is_(None)).limit(1)
    ).scalar()
    if held is not None:
        raise Problem(
            f"the owner {owner.name} still has the device {held}",
            f"Revoke it first: sigap device revoke {held}",
            USAGE,
        )
    conn.execute(owners.update().where(owners.c.id == owner.id).values(revoked_at=now_us))
    conn.execute(
        relatives.update()
        .where(relatives.c.owner_id == owner.id, relatives.c.revoked_at.is_(None))
        .values(revoked_at=now_us)
    )
    revoked = get_owner(conn, owner.id)
    assert revoked is not None
    return revoked


def erase_owner(conn: sa.Connection, owner_id: int, now_us: int) -> None:
    """Revoke an owner and take away what they said of themselves and of their relatives."""
    gone = {"telephone": None, "address": None, "registered_message": None, "revoked_at": now_us}
    conn.execute(owners.update().where(owners.c.id == owner_id).values(name=f"(erased {owner_id})", **gone))
    told = {"name": "(erased)", "channel": "", "revoked_at": now_us}
    conn.execute(relatives.update().where(relatives.c.owner_id == owner_id).values(**told))


_RELATIVES = (
    sa.select(*(relatives.c[name] for name in ("id", "owner_id", "name", "channel", "wants_tests")))
    .where(relatives.c.revoked_at.is_(None))
    .order_by(relatives.c.id)
)
_RELATIVES_OF = prepared(_RELATIVES.where(relatives.c.owner_id == sa.bindparam("owner")))


def add_relative(
    conn: sa.Connection, *, owner: str, name: str, channel: str, wants_tests: bool = False, now_us: int
) -> Relative:
    """Put a person on an owner's list. Problem for an unknown owner, a channel that is no URL, a name
    already there."""
    whose = find_owner(conn, owner)
    name = person_name_of(name, "relative's")
    if not _CHANNEL.fullmatch(channel) or len(channel) > TEXT_LIMIT:
        raise BadValue(
            "channel",
            f"the channel of {name} is not an address",
            "Give a URL such as mailto://user:password@example.org",
        )
    if any(other.name == name for other in list_relatives(conn, owner_id=whose.id)):
        raise BadValue("name", f"{whose.name} already has a relative named {name}", "Revoke that one first")
    values = {"owner_id": whose.id, "name": name, "channel": channel, "wants_tests": wants_tests}
    done = conn.execute(relatives.insert().values(created_at=now_us, **values))
    assert done.inserted_primary_key is not None
    return Relative(id=done.inserted_primary_key[0], **values)


def list_relatives(conn: sa.Connection, *, owner_id: int | None = None) -> list[Relative]:
    """The relatives who are not revoked, of one owner or of all, in the order they were added."""
    if owner_id is None:
        return [Relative(*row) for row in conn.execute(_RELATIVES)]
    return [Relative(*row) for row in conn.execute(_RELATIVES_OF, {"owner": owner_id})]


def get_relative(conn: sa.Connection, relative_id: int) -> Relative | None:
    """The relative with this id, revoked or not, or None."""
    row = conn.execute(sa.select(relatives).where(relatives.c.id == relative_id)).first()
    if row is None:
        return None
    return Relative(row.id, row.owner_id, row.name, row.channel, row.wants_tests, row.revoked_at is not None)


def find_relative(conn: sa.Connection, owner: str, name: str) -> Relative:
    """The person of this name on an owner's list; a Problem when nobody of that name is on it."""
    whose = find_owner(conn, owner)
    wanted = person_name_of(name, "relative's")
    for relative in list_relatives(conn, owner_id=whose.id):
        if relative.name == wanted:
            return relative
    raise Problem(f"{whose.name} has no relative named {wanted}", "`sigap relative list` shows all", USAGE)


def revoke_relative(conn: sa.Connection, owner: str, name: str, now_us: int) -> Relative:
    """Take a person off an owner's list; a Problem when nobody of that name is on it."""
    relative = find_relative(conn, owner, name)
    conn.execute(relatives.update().where(relatives.c.id == relative.id).values(revoked_at=now_us))
    return relative


def masked(channel: str) -> str:
    """A channel for listings: its kind and last characters, since anything between may be a password or
    token."""
    kind, _, rest = channel.partition("://")
    return f"{kind}://…{rest[-6:] if len(rest) > 12 else ''}"
