"""Phones: invited, enrolled, and whose they are. Every function works inside the caller's transaction."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

import sqlalchemy as sa

from gateway.registry.devices import PHONE, Device, add_device, find_device, get_device, revoke_device
from gateway.registry.people import Owner, add_owner, add_relative, erase_owner, find_owner, get_owner
from gateway.store.schema import device_events, devices, incidents, invitations, owners
from panic_wire.topics import device_name
from sigap.problem import USAGE, Problem

DAY_US = 24 * 3600 * 1_000_000
INVITATION_US = 2 * DAY_US
ASKED_US = 7 * DAY_US  # one that a person asked for, as somebody may have to approve it
THEMSELVES = "person"
MOST_OPEN = 10_000  # invitations that nobody has used; the oldest give way
MOST_RELATIVES = 5
MOST_WAITING = 200  # shown at a time
_SHOWN = ("id", "name", "last_heard_at", "revoked_at")


class NotInvited(Problem):
    """The invitation was used, is too old, or never was."""

    def __init__(self) -> None:
        super().__init__("this invitation was used, or is too old", "Ask for another", USAGE)


class NotYet(Problem):
    """The invitation waits for somebody's approval."""

    def __init__(self) -> None:
        super().__init__("this invitation waits for approval", "Come again", USAGE)


@dataclass(frozen=True, slots=True)
class Person:
    """What somebody says of themselves at their enrolment. relatives: (name, where messages go)."""

    name: str
    telephone: str | None = None
    address: str | None = None
    language: str = "id"
    registered_message: str | None = None
    relatives: tuple[tuple[str, str], ...] = ()


def invite(
    conn: sa.Connection,
    *,
    invited_by: str,
    now_us: int,
    owner: str | None = None,
    valid_us: int = INVITATION_US,
    about: str | None = None,
    waiting: bool = False,
) -> str:
    """The token of a new invitation, which is nowhere else. owner: whose phone it will be; without, the person says so
    when they come. about: who asked for it. waiting: it is good only once somebody has approved it."""
    owner_id = None if owner is None else find_owner(conn, owner).id
    token = secrets.token_urlsafe(16)
    conn.execute(invitations.delete().where(invitations.c.used_at.is_(None), invitations.c.expires_at <= now_us))
    open_ones = sa.select(invitations.c.token_hash).where(invitations.c.used_at.is_(None))
    kept = open_ones.order_by(invitations.c.expires_at.desc()).limit(MOST_OPEN - 1)
    conn.execute(invitations.delete().where(invitations.c.used_at.is_(None), invitations.c.token_hash.not_in(kept)))
    values = {"owner_id": owner_id, "invited_by": invited_by, "created_at": now_us, "expires_at": now_us + valid_us}
    values |= {"about": about, "waiting": waiting}
    conn.execute(invitations.insert().values(token_hash=_hash(token), **values))
    return token


def invitation_link(base: str, token: str) -> str:
    """What to open on the phone. The invitation is behind #, which no browser sends and no server logs."""
    return f"{base}/sos/#i={token}"


def invited(conn: sa.Connection, token: str, now_us: int) -> Owner | None:
    """Whom an invitation is for; None when the person is to say. NotInvited for one that is not good any more."""
    row = conn.execute(_open(token, now_us)).first()
    if row is None:
        raise NotInvited
    if row.waiting:
        raise NotYet
    return None if row.owner_id is None else get_owner(conn, row.owner_id)


def enrol(conn: sa.Connection, token: str, root_key: bytes, person: Person | None, now_us: int) -> Device:
    """Make a phone of an invitation, which is used up then; with its person, unless that was said in the invitation.

    root_key: 16 bytes that the phone drew. The same key with the same invitation once more gives the same phone: its
    answer may have been lost. NotInvited; BadValue for a person who cannot be registered like that.
    """
    again = conn.execute(
        sa.select(devices.c.id, devices.c.root_key)
        .join(invitations, invitations.c.device_id == devices.c.id)
        .where(invitations.c.token_hash == _hash(token))
    ).first()
    if again is not None and secrets.compare_digest(again.root_key, root_key):
        return _found(conn, again.id)
    owner = invited(conn, token, now_us)
    if owner is None:
        if person is None:
            raise Problem("who the phone belongs to is not said", "Give at least a name", USAGE)
        owner = _registered(conn, person, now_us)
    drawn = add_phone(conn, owner, root_key, now_us)
    used = {"used_at": now_us, "device_id": drawn.id, "about": None}
    conn.execute(invitations.update().where(invitations.c.token_hash == _hash(token)).values(**used))
    return _found(conn, drawn.id)


def waiting_ones(conn: sa.Connection, now_us: int) -> list[sa.Row]:
    """Who waits for approval, the first first: token_hash, about, created_at."""
    query = sa.select(invitations.c.token_hash, invitations.c.about, invitations.c.created_at)
    query = query.where(invitations.c.waiting, invitations.c.used_at.is_(None), invitations.c.expires_at > now_us)
    return list(conn.execute(query.order_by(invitations.c.created_at).limit(MOST_WAITING)))


def decide(conn: sa.Connection, token_hash: bytes, approved: bool, actor: str, now_us: int) -> bool:
    """Approve who waits, or not; False when there is nobody (any more)."""
    mine = sa.and_(invitations.c.token_hash == token_hash, invitations.c.waiting, invitations.c.used_at.is_(None))
    if not approved:
        return conn.execute(invitations.delete().where(mine)).rowcount == 1
    values = {"waiting": False, "invited_by": actor, "expires_at": now_us + ASKED_US}
    return conn.execute(invitations.update().where(mine).values(**values)).rowcount == 1


def asked_for_since(conn: sa.Connection, since_us: int) -> int:
    """How many people asked for one themselves; those that were approved count as well."""
    mine = sa.or_(invitations.c.about.is_not(None), invitations.c.invited_by == THEMSELVES)
    return conn.execute(
        sa.select(sa.func.count()).select_from(invitations).where(mine, invitations.c.created_at >= since_us)
    ).scalar_one()


def add_phone(conn: sa.Connection, owner: Owner, root_key: bytes, now_us: int) -> Device:
    """A phone of this owner, named after its id."""
    drawn = add_device(conn, name=f"phone-{secrets.token_hex(4)}", root_key=root_key, kind=PHONE, now_us=now_us)
    name = f"phone-{device_name(drawn.id)}"
    conn.execute(devices.update().where(devices.c.id == drawn.id).values(name=name, owner_id=owner.id))
    return _found(conn, drawn.id)


def forget(conn: sa.Connection, device: Device, now_us: int) -> bool:
    """What a person may ask of their own phone: it is revoked, and what they said of themselves and of their relatives
    is erased, unless another device is theirs. What was sent stays as long as [retention] says. False, and nothing
    done, while an emergency of theirs is open: the police need it."""
    still_open = sa.select(incidents.c.id).where(incidents.c.device_id == device.id, incidents.c.state != "closed")
    if conn.execute(still_open.where(incidents.c.test.is_(False)).limit(1)).first() is not None:
        return False
    revoke(conn, device.name, f"device:{device_name(device.id)}", now_us)
    if device.owner_id is None:
        return True
    others = sa.select(devices.c.id).where(devices.c.owner_id == device.owner_id, devices.c.revoked_at.is_(None))
    if conn.execute(others.limit(1)).first() is None:
        erase_owner(conn, device.owner_id, now_us)
    return True


def owner_name(conn: sa.Connection, device: Device) -> str:
    """Whose phone it is."""
    owner = None if device.owner_id is None else get_owner(conn, device.owner_id)
    return "" if owner is None else owner.name


def _registered(conn: sa.Connection, person: Person, now_us: int) -> Owner:
    owner = add_owner(
        conn,
        name=person.name,
        telephone=person.telephone,
        address=person.address,
        language=person.language,
        registered_message=person.registered_message,
        now_us=now_us,
    )
    for name, channel in person.relatives[:MOST_RELATIVES]:
        add_relative(conn, owner=owner.name, name=name, channel=channel, now_us=now_us)
    return owner


def _found(conn: sa.Connection, device_id: int) -> Device:
    found = get_device(conn, device_id)
    assert found is not None
    return found


def _open(token: str, now_us: int) -> sa.Select:
    return sa.select(invitations).where(
        invitations.c.token_hash == _hash(token), invitations.c.used_at.is_(None), invitations.c.expires_at > now_us
    )


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def listed(conn: sa.Connection, *, revoked: bool = True) -> list[sa.Row]:
    """Every phone with its owner, the one that was heard last first: id, name, owner, last_heard_at, revoked_at."""
    query = (
        sa.select(*(devices.c[name] for name in _SHOWN), owners.c.name.label("owner"))
        .outerjoin(owners, owners.c.id == devices.c.owner_id)
        .where(devices.c.kind == PHONE)
        .order_by(devices.c.last_heard_at.desc(), devices.c.name)
    )
    return list(conn.execute(query if revoked else query.where(devices.c.revoked_at.is_(None))))


def revoke(conn: sa.Connection, name: str, actor: str, now_us: int) -> bool:
    """Take a phone its rights for good; False when there is none of that name."""
    found = find_device(conn, name)
    if found is None or found.kind != PHONE:
        return False
    revoke_device(conn, name, now_us)
    noted = {"device_id": found.id, "at": now_us, "kind": "revoked", "actor": actor}
    conn.execute(device_events.insert().values(data="{}", **noted))
    return True
