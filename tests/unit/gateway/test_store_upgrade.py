"""A database of the schema before cancels, troubles and commands opens, with what was in it."""

from __future__ import annotations

import json
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from gateway.incidents.book import Book
from gateway.incidents.events import history
from gateway.incidents.rebuild import check
from gateway.incidents.stages import fold
from gateway.registry.devices import get_device
from gateway.store import migrations, schema
from gateway.store.engine import open_store
from gateway.supervision import commands, troubles
from panic_wire.frames import ALARM_UPDATE, LOCATE, Alarm, Cancel, Header

KEY = bytes(range(0x60, 0x70))
DEVICE, INCIDENT, AT = 0xA1B2, "01a3f4e2-9c62-7000-8000-000000000001", 1_790_000_000_000_000
FIX = {"lat_e7": -69_900_000, "lon_e7": 1_104_200_000, "accuracy_m": 8, "fix_at": AT}
OPENED = {"activation": 7, "pressed_at": AT, "age_is_minimum": False, "silent": False, "bearer": "wifi", "gesture": 1}
OLD = [
    f"INSERT INTO devices (id, name, root_key, created_at, online) VALUES ({DEVICE}, 'shop-1', x'{KEY.hex()}', 1, 1)",
    "INSERT INTO incidents (id, device_id, state, opened_at, changed_at) "
    f"VALUES ('{INCIDENT}', {DEVICE}, 'acknowledged', {AT}, {AT})",
    "INSERT INTO alarms (device_id, activation, incident_id, pressed_at, received_at, bearer, epoch, counter, "
    f"lat_e7, lon_e7, accuracy_m, fix_at, battery_mv) VALUES ({DEVICE}, 7, '{INCIDENT}', {AT}, {AT}, 'wifi', 3, 65, "
    f"{FIX['lat_e7']}, {FIX['lon_e7']}, {FIX['accuracy_m']}, {AT}, 3900)",
    "INSERT INTO alarms (device_id, activation, incident_id, pressed_at, received_at, bearer, epoch, counter) "
    f"VALUES ({DEVICE}, 8, '{INCIDENT}', {AT}, {AT}, 'wifi', 3, 66)",
]


def old_database(path: Path) -> None:
    """As the program of revision 0003 left it."""
    config = Config()
    config.set_main_option("script_location", "gateway.store:migrations")
    config.set_main_option("path_separator", "os")
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.begin() as conn:
        config.attributes["connection"] = conn
        command.upgrade(config, "0003")
        for statement in OLD:
            conn.exec_driver_sql(statement)
        happened = [("opened", {**OPENED, **FIX}), ("position", {"activation": 7, **FIX}), ("acknowledged", {})]
        happened.append(("alarm_joined", {**OPENED, "activation": 8}))
        for kind, data in happened:
            row = (INCIDENT, AT, kind, f"device:{DEVICE:08x}", json.dumps(data))
            conn.exec_driver_sql("INSERT INTO events (incident_id, at, kind, actor, data) VALUES (?, ?, ?, ?, ?)", row)
    engine.dispose()


def test_an_old_database_opens_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "sigap.db"
    old_database(path)
    with open_store(f"sqlite:///{path}") as store:
        with store.read() as conn:
            assert migrations.current(conn) == migrations.HEAD
            assert conn.execute(sa.select(schema.incidents.c.raised)).scalar_one() == 1
            alarm, _ = conn.execute(sa.select(schema.alarms).order_by(schema.alarms.c.activation)).all()
            assert (alarm.moved, alarm.doubtful, alarm.duress, alarm.cancelled_at) == (False, False, False, None)
            assert fold(history(conn, INCIDENT)).state == "acknowledged"
        assert all(KEY not in file.read_bytes() for file in tmp_path.iterdir() if file.suffix != ".key")
        book = Book(["police"], "test")
        with store.write() as conn:
            device = get_device(conn, DEVICE)
            assert device is not None
            assert device.root_key == KEY
            # Backends know the position of the old database: one that is near it is no news.
            same = Alarm(7, age_ms=60_000, lat_e7=FIX["lat_e7"] + 100, lon_e7=FIX["lon_e7"], accuracy_m=8, fix_age_s=0)
            header = Header(ALARM_UPDATE, 0, DEVICE, 3, 70)
            assert not book.take_alarm(conn, device, header, same, AT + 60_000_000).wakes
            cancelled = book.take_cancel(conn, device, Cancel(7), AT + 70_000_000)
            assert cancelled is not None
            assert cancelled.new
            commands.ask(conn, DEVICE, LOCATE, b"", "administrator:root", AT)
            assert commands.devices_to_tell(conn, 10) == [DEVICE]
            assert troubles.lasting_count(conn) == 0
        # What the old program wrote folds to what it left, and goes on with this one's events.
        assert check(store).differences == []
