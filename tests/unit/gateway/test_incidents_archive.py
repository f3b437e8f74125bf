"""Old events go into a file for each month: none is lost, whatever happens in between, and nobody waits."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from gateway.commands.archive import archive as command
from gateway.incidents import archive as archiving
from gateway.incidents.archive import archive, archived, file_name
from gateway.incidents.book import Book
from gateway.registry.devices import Device, add_device
from gateway.store.engine import Store, open_store
from gateway.store.schema import events
from panic_wire.frames import ALARM, Alarm, Header
from sigap.problem import Problem

DAY = 86_400_000_000
MARCH = 1_772_323_200_000_000  # 2026-03-01
BOOK = Book(["police"], "test")


class Place:
    """A store with one device, and where its archive goes."""

    def __init__(self, folder: Path, store: Store) -> None:
        self.store, self.folder = store, folder / "archive"
        with store.write() as conn:
            self.device: Device = add_device(conn, name="shop-1", now_us=MARCH)

    def incident(self, activation: int, at: int, *, closed: bool = True) -> str:
        with self.store.write() as conn:
            header = Header(ALARM, 0, self.device.id, 1, activation)
            taken = BOOK.take_alarm(conn, self.device, header, Alarm(activation), at)
            if closed:
                said = {"disposition": "genuine"}
                assert BOOK.record_stage(conn, taken.incident_id, "closed", "operator:ani", said, at + 1)
        return taken.incident_id

    def rows(self) -> dict[int, tuple[object, ...]]:
        with self.store.read() as conn:
            return {row.id: tuple(row) for row in conn.execute(sa.select(events))}

    def everywhere(self, *incidents: str) -> dict[int, tuple[object, ...]]:
        moved = [row for each in incidents for row in archived(self.folder, each)]
        return {**{row["id"]: tuple(row.values()) for row in moved}, **self.rows()}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with open_store(f"sqlite:///{tmp_path / 'sigap.db'}") as store:
        yield Place(tmp_path, store)


def test_whole_incidents_go_by_month_and_the_rest_stays(place: Place) -> None:
    march, april = place.incident(1, MARCH), place.incident(2, MARCH + 40 * DAY)
    late, still_open = place.incident(3, MARCH + 90 * DAY), place.incident(4, MARCH + 1, closed=False)
    before = place.rows()
    assert archive(place.store, place.folder, MARCH + 60 * DAY) == {"2026-03": 2, "2026-04": 2}
    assert {row[1] for row in place.rows().values()} == {late, still_open}
    assert place.everywhere(march, april) == before
    assert [row["kind"] for row in archived(place.folder, march)] == ["opened", "closed"]
    assert sorted(path.name for path in place.folder.iterdir()) == [file_name("2026-03"), file_name("2026-04")]
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in place.folder.iterdir())
    assert archive(place.store, place.folder, MARCH + 60 * DAY) == {}


def test_no_number_is_given_twice(place: Place) -> None:
    incident = place.incident(1, MARCH)
    assert archive(place.store, place.folder, MARCH + DAY) == {"2026-03": 1}  # the newest of all stays
    place.incident(2, MARCH + 1)
    assert archive(place.store, place.folder, MARCH + DAY) == {"2026-03": 2}
    kinds = [row["kind"] for row in archived(place.folder, incident)]
    assert kinds == ["opened", "closed"]


def test_killed_between_copy_and_deletion_it_goes_on(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archiving, "_MOVABLE", archiving._MOVABLE.limit(3))
    incidents = [place.incident(number, MARCH + number) for number in range(1, 8)]
    before = place.rows()

    def killed() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(place.store, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            archive(place.store, place.folder, MARCH + DAY)
    assert place.rows() == before
    assert len(archived(place.folder, incidents[0])) == 2  # in both places for now
    assert archive(place.store, place.folder, MARCH + DAY) == {"2026-03": 13}
    assert place.everywhere(*incidents) == before


def test_the_archive_of_another_store_is_not_taken_for_ours(place: Place) -> None:
    place.incident(1, MARCH)
    place.incident(2, MARCH)
    with archiving._open(place.folder / file_name("2026-03")) as other, other:
        other.execute(archiving.ADD, (1, "another", 5, "opened", "device:1", "{}"))
    before = place.rows()
    with pytest.raises(Problem, match="event 1 is another"):
        archive(place.store, place.folder, MARCH + DAY)
    assert place.rows() == before


def test_alarms_are_taken_meanwhile(place: Place) -> None:
    incident = place.incident(1, MARCH)
    row = {"incident_id": incident, "at": MARCH, "kind": "told", "actor": "gateway", "data": "{}"}
    with place.store.write() as conn:
        conn.execute(events.insert(), [row] * 5_000)
    ended = threading.Event()

    def work() -> None:
        archive(place.store, place.folder, MARCH + DAY)
        ended.set()

    worker = threading.Thread(target=work)
    worker.start()
    taken, longest = 0, 0.0
    while not ended.is_set():
        begun = time.monotonic()
        place.incident(2 + taken, MARCH + 50 * DAY, closed=False)
        taken, longest = taken + 1, max(longest, time.monotonic() - begun)
    worker.join()
    print(f"{taken} alarms were taken while 5,001 events moved; the longest took {longest * 1000:.0f} ms")
    assert taken >= 10
    assert {row[1] for row in place.rows().values()}.isdisjoint({incident})
    assert len(archived(place.folder, incident)) == 5_002


def test_the_command(place: Place, tmp_path: Path) -> None:
    incident = place.incident(1, MARCH)
    place.incident(2, MARCH)
    config = tmp_path / "sigap.toml"
    config.write_text('[gateway]\ndata_dir = "."\n')
    run = CliRunner().invoke
    done = run(command, ["--months", "1", "--config", str(config), "--json"], catch_exceptions=False)
    assert json.loads(done.stdout) == {"2026-03": 3}
    assert run(command, ["--config", str(config)], catch_exceptions=False).stdout == "nothing is that old\n"
    shown = run(command, ["show", incident, "--config", str(config)], catch_exceptions=False).stdout.splitlines()
    assert [json.loads(line)["kind"] for line in shown] == ["opened", "closed"]
    with pytest.raises(Problem, match="no events of nobody"):
        run(command, ["show", "nobody", "--config", str(config)], catch_exceptions=False)
