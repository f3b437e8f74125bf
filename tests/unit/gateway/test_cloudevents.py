"""What a backend is told stays small, however often somebody presses."""

from __future__ import annotations

import json
from pathlib import Path

import sqlalchemy as sa

from gateway.incidents.book import Book
from gateway.incidents.cloudevents import MOST_ALARMS_TOLD
from gateway.registry.devices import add_device
from gateway.store.engine import open_store
from gateway.store.schema import deliveries
from panic_wire.frames import ALARM, Alarm, Cancel, Header

NOW, PRESSES = 1_790_000_000_000_000, 50


def test_of_many_alarms_the_first_and_the_newest_are_told(tmp_path: Path) -> None:
    book = Book(["police"], "test")
    with open_store(f"sqlite:///{tmp_path / 'sigap.db'}") as store:
        with store.write() as conn:
            device = add_device(conn, name="shop-1", now_us=NOW)
            for number in range(1, PRESSES + 1):
                header = Header(ALARM, 0, device.id, 3, number)
                book.take_alarm(conn, device, header, Alarm(number, silent=number == 5), NOW + number)
                if number == 6:
                    assert book.take_cancel(conn, device, Cancel(6, duress=True), NOW + number) is not None
        with store.read() as conn:
            told = [json.loads(text)["data"] for text in conn.execute(sa.select(deliveries.c.payload)).scalars()]
    longest, last = (
        max(len(data["alarms"]) for data in told),
        max(told, key=lambda data: data.get("alarms_left_out", 0)),
    )
    assert longest == MOST_ALARMS_TOLD == 20
    assert [alarm["activation"] for alarm in last["alarms"]] == [1, *range(PRESSES - 18, PRESSES + 1)]
    assert last["alarms_left_out"] == PRESSES - MOST_ALARMS_TOLD
    assert (last["silent"], last["cancel"]["says"]) == (True, "duress")  # said by alarms that are not listed
    assert "alarms_left_out" not in min(told, key=lambda data: len(data["alarms"]))
