"""Devices: adding, finding, revoking. Every function works inside the caller's transaction."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field

import sqlalchemy as sa

from gateway.registry.names import BadValue, device_name_of, position_of
from gateway.registry.people import find_owner
from gateway.store.prepared import prepared
from gateway.store.schema import devices
from sigap.problem import USAGE, Problem

ROOT_KEY_BYTES = 16
BUTTON, PHONE = "button", "phone"


@dataclass(frozen=True, slots=True)
class Device:
    """An ESP32 button, or a phone. id: the u32 of the wire, never 0. Positions are degrees times 1e7."""

    id: int
    name: str
    root_key: bytes = field(repr=False)
    owner_id: int | None = None
    silent: bool = False
    site_name: str | None = None
    site_lat_e7: int | None = None
    site_lon_e7: int | None = None
    revoked: bool = False
    kind: str = BUTTON

    @property
    def fixed_site(self) -> bool:
        """It is mounted at a surveyed position, and needs no GPS."""
        return self.site_lat_e7 is not None


_COLUMNS = (
    devices.c.id,
    devices.c.name,
    devices.c.root_key,
    devices.c.owner_id,
    devices.c.silent,
    devices.c.site_name,
    devices.c.site_lat_e7,
    devices.c.site_lon_e7,
    devices.c.kind,
    devices.c.revoked_at,
)
_BY_IDS = sa.select(*_COLUMNS).where(devices.c.id.in_(sa.bindparam("devices", expanding=True)))
_BY_ID = prepared(sa.select(*_COLUMNS).where(devices.c.id == sa.bindparam("device")))


def _device(row: sa.Row) -> Device:
    fields = dict(row._mapping)
    return Device(revoked=fields.pop("revoked_at") is not None, **fields)


def add_device(
    conn: sa.Connection,
    *,
    name: str,
    owner: str | None = None,
    silent: bool = False,
    site_name: str | None = None,
    site_lat: float | None = None,
    site_lon: float | None = None,
    now_us: int,
    device_id: int | None = None,
    root_key: bytes | None = None,
    kind: str = BUTTON,
) -> Device:
    """Add a device and return it. owner: an owner's name. site_lat, site_lon: degrees, both or none.

    Without `device_id` and `root_key` both are drawn at random. Problem for a name that does not fit or is
    taken (also by a revoked device: its past stays under that name), an unknown owner, a position off the
    Earth.
    """
    device_name_of(name)
    taken = find_device(conn, name)
    if taken is not None:
        was = "was used by a revoked device" if taken.revoked else "is taken"
        raise BadValue("name", f"the device name {name} {was}", "Choose another; `sigap device list` shows all")
    site = position_of(site_lat, site_lon, "site's")
    device = Device(
        id=_free_id(conn) if device_id is None else _checked_id(conn, device_id),
        name=name,
        root_key=secrets.token_bytes(ROOT_KEY_BYTES) if root_key is None else _checked_key(root_key),
        owner_id=None if owner is None else find_owner(conn, owner).id,
        silent=silent,
        site_name=site_name,
        site_lat_e7=site[0],
        site_lon_e7=site[1],
        kind=kind,
    )
    conn.execute(
        devices.insert().values(
            id=device.id,
            name=device.name,
            root_key=device.root_key,
            owner_id=device.owner_id,
            silent=device.silent,
            site_name=device.site_name,
            site_lat_e7=device.site_lat_e7,
            site_lon_e7=device.site_lon_e7,
            kind=device.kind,
            created_at=now_us,
        )
    )
    return device


def get_device(conn: sa.Connection, device_id: int) -> Device | None:
    """The device with this id, revoked or not."""
    row = conn.execute(_BY_ID, {"device": device_id}).first()
    return None if row is None else _device(row)


def get_devices(conn: sa.Connection, device_ids: Iterable[int]) -> dict[int, Device]:
    """Those with these ids (some hundred), revoked or not, by id."""
    found = conn.execute(_BY_IDS, {"devices": list(device_ids)})
    return {row.id: _device(row) for row in found}


def find_device(conn: sa.Connection, name: str) -> Device | None:
    """The device with this name, revoked or not."""
    row = conn.execute(sa.select(*_COLUMNS).where(devices.c.name == name)).first()
    return None if row is None else _device(row)


def list_devices(conn: sa.Connection, *, revoked: bool = True) -> list[Device]:
    """Every device by name; without the revoked ones when `revoked` is False."""
    query = sa.select(*_COLUMNS).order_by(devices.c.name)
    if not revoked:
        query = query.where(devices.c.revoked_at.is_(None))
    return [_device(row) for row in conn.execute(query)]


def revoke_device(conn: sa.Connection, name: str, now_us: int) -> Device:
    """Take a device's rights for good: it keeps its row and loses its login; of what it sends only alarms are taken,
    and shown as a revoked device's. Twice changes nothing."""
    device = find_device(conn, name)
    if device is None:
        raise Problem(f"there is no device named {name}", "`sigap device list` shows all", USAGE)
    conn.execute(
        devices.update().where(devices.c.id == device.id, devices.c.revoked_at.is_(None)).values(revoked_at=now_us)
    )
    revoked = get_device(conn, device.id)
    assert revoked is not None
    return revoked


def _free_id(conn: sa.Connection) -> int:
    # 2^32 ids: with 500,000 devices a draw meets a used one once in 8,600 times.
    while True:
        drawn = secrets.randbelow(0xFFFFFFFF) + 1
        if get_device(conn, drawn) is None:
            return drawn


def _checked_id(conn: sa.Connection, device_id: int) -> int:
    if not 0 < device_id <= 0xFFFFFFFF:
        raise Problem(f"the device id {device_id} does not fit", "Use 1 to 4294967295", USAGE)
    other = get_device(conn, device_id)
    if other is not None:
        raise Problem(f"the device id {device_id:08x} is taken by {other.name}", "Leave it out to draw one", USAGE)
    return device_id


def _checked_key(root_key: bytes) -> bytes:
    if len(root_key) != ROOT_KEY_BYTES:
        raise Problem(
            f"the root key has {len(root_key)} bytes",
            f"Give {ROOT_KEY_BYTES}, or leave it out to draw one",
            USAGE,
        )
    return root_key
