"""A town on a real store: five buttons of three owners, a book, and the shortest ways to use them. For tests."""

from __future__ import annotations

import atexit
import functools
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from gateway.incidents.book import Book, Taken
from gateway.incidents.events import history
from gateway.incidents.joining import SITE_RADIUS_M
from gateway.registry.devices import Device, add_device, get_device, list_devices, revoke_device
from gateway.registry.people import add_owner, add_relative
from gateway.store import schema
from gateway.store.engine import open_store
from gateway.store.keys import FILE
from panic_wire.frames import ALARM, Alarm, Cancel, Header
from panic_wire.topics import device_name

NOW, S = 1_790_000_000_000_000, 1_000_000
LAT, LON = -6.98, 110.41
METRE = 1 / 111_195  # degrees
BOOK = Book(["police"], "test")
ANI = "operator:Ani"


@functools.cache
def _built() -> Path:
    """A database with these devices, made once: its schema takes longer than most tests."""
    folder = Path(tempfile.mkdtemp(prefix="sigap-town-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = folder / "sigap.db"
    with open_store(f"sqlite:///{path}") as store, store.write() as conn:
        for owner in ("Toko", "Warung", "Warga"):
            add_owner(conn, name=owner, now_us=NOW)
            channel = "mailto://127.0.0.1:1/?from=a@example.org&to=b@example.org"
            add_relative(conn, owner=owner, name="Budi", channel=channel, now_us=NOW)
        for name, owner, north_m in (
            ("till", "Toko", 0),
            ("back", "Toko", SITE_RADIUS_M - 1),
            ("branch", "Toko", -SITE_RADIUS_M - 1),
            ("next", "Warung", 5),
            ("carried", "Warga", None),
        ):
            site: dict[str, Any] = {}
            if north_m is not None:
                site = {"site_lat": LAT + north_m * METRE, "site_lon": LON, "site_name": name}
            add_device(conn, name=name, owner=owner, now_us=NOW, **site)
    return path


class Town:
    """Two buttons of a shop (till and back room), one at its other branch, one of the neighbours, one of somebody."""

    def __init__(self, path: Path) -> None:
        shutil.copy(_built(), path)
        shutil.copy(_built().with_name(FILE), path.with_name(FILE))
        self.store, self.counter = open_store(f"sqlite:///{path}"), 0
        with self.store.read() as conn:
            self.devices: dict[str, Device] = {one.name: one for one in list_devices(conn)}

    def press(
        self,
        name: str,
        activation: int = 1,
        at: int = NOW,
        kind: int = ALARM,
        counter: int | None = None,
        **alarm: Any,
    ) -> Taken:
        self.counter += 1
        with self.store.write() as conn:
            device = get_device(conn, self.devices[name].id)
            assert device is not None
            header = Header(kind, 0, device.id, 3, self.counter if counter is None else counter)
            return BOOK.take_alarm(conn, device, header, Alarm(activation, **alarm), at)

    def cancel(self, name: str, activation: int = 1, at: int = NOW, **cancel: Any) -> Taken | None:
        with self.store.write() as conn:
            device = get_device(conn, self.devices[name].id)
            assert device is not None
            return BOOK.take_cancel(conn, device, Cancel(activation, **cancel), at)

    def stage(self, incident: str, stage: str, at: int = NOW, actor: str = ANI, **data: Any) -> bool:
        with self.store.write() as conn:
            return BOOK.record_stage(conn, incident, stage, actor, data, at)

    def merge(self, incident: str, other: str, at: int = NOW) -> str:
        with self.store.write() as conn:
            return BOOK.merge(conn, incident, other, ANI, at)

    def split(self, incident: str, name: str, at: int = NOW) -> str:
        with self.store.write() as conn:
            return BOOK.split(conn, incident, self.devices[name].id, ANI, at)

    def revoke(self, name: str) -> None:
        with self.store.write() as conn:
            revoke_device(conn, name, NOW)

    def row(self, incident: str) -> sa.Row:
        with self.store.read() as conn:
            return conn.execute(sa.select(schema.incidents).where(schema.incidents.c.id == incident)).one()

    def rows(self, table: sa.Table) -> list[dict[str, Any]]:
        with self.store.read() as conn:
            return [dict(row) for row in conn.execute(sa.select(table).order_by(*table.primary_key)).mappings()]

    def kinds(self, incident: str) -> list[str]:
        with self.store.read() as conn:
            return [event.kind for event in history(conn, incident)]

    def told(self, to: str) -> list[dict[str, Any]]:
        """What was put into the outbox for a destination, the oldest first."""
        query = sa.select(schema.deliveries).where(schema.deliveries.c.destination == to)
        with self.store.read() as conn:
            found = conn.execute(query.order_by(schema.deliveries.c.id)).all()
        return [{"kind": row.kind, "to": row.incident_id, **json.loads(row.payload)} for row in found]

    def lights(self, name: str) -> list[tuple[int, str]]:
        found = self.told(f"device:{device_name(self.devices[name].id)}")
        return [(each["activation"], each["stage"]) for each in found]

    def police(self) -> list[tuple[str, str, str | None]]:
        """(kind of event, incident, the other incident) of what the police system was told."""
        return [
            (each["type"].split(".")[3], each["subject"], each["data"]["other_incident"])
            for each in self.told("backend:police")
        ]
