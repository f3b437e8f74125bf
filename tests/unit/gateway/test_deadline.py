"""An incident that no police system accepts in time: an event, once, and a trouble on the desk while it lasts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner

from gateway.commands.backends import backends
from gateway.commands.outbox import outbox
from gateway.desk import look
from gateway.desk.labels import destination_words, event_words
from gateway.incidents import deadline, stages
from gateway.incidents.book import Book
from gateway.incidents.deadline import Deadline
from gateway.incidents.events import history
from gateway.outbox import rows
from gateway.registry.devices import Device, get_device
from gateway.settings import load_settings
from gateway.settings_example import write_example
from gateway.store.engine import Store, open_store
from gateway.words import translator
from gateway.worker import deadlines
from panic_wire.frames import ALARM, Alarm, Header
from tests.unit.gateway.outbox_lab import DEVICE, NOW, enqueue, lab_store, row_of

S = 1_000_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with lab_store(tmp_path) as store:
        yield store


class Times:
    """A wall clock and a process's own seconds, apart from each other."""

    def __init__(self) -> None:
        self.now_us, self.seconds = NOW, 0.0

    def pass_s(self, seconds: float) -> None:
        self.now_us, self.seconds = self.now_us + int(seconds * S), self.seconds + seconds


def press(store: Store, book: Book, activation: int, at: int) -> str:
    with store.write() as conn:
        device = get_device(conn, DEVICE)
        assert isinstance(device, Device)
        header = Header(ALARM, 0, DEVICE, 1, activation)
        return book.take_alarm(conn, device, header, Alarm(activation), at).incident_id


def said(store: Store, incident: str) -> list[str]:
    with store.read() as conn:
        return [each.kind for each in history(conn, incident)]


def test_it_is_said_once_and_is_over_when_somebody_accepts(store: Store) -> None:
    book, times = Book(["police"], "test"), Times()
    changed: list[bool] = []
    watch = Deadline(store, lambda: changed.append(True), lambda: times.now_us, lambda: times.seconds)
    assert watch.look() == []
    incident = press(store, book, 1, times.now_us)
    watch.look()
    times.pass_s(19.9)
    assert watch.look() == []
    times.pass_s(0.2)
    assert watch.look() == [incident]
    assert watch.look() == []
    assert (said(store, incident), changed) == (["opened", "not_accepted"], [True])
    with store.read() as conn:
        assert (deadline.late_count(conn), [row.id for row in conn.execute(deadline.LATE)]) == (1, [incident])
        assert stages.fold(history(conn, incident)).state == stages.OPEN
    with store.write() as conn:
        book.record_stage(conn, incident, "accepted", "backend:police", {}, times.now_us)
    with store.read() as conn:
        assert deadline.late_count(conn) == 0


def test_a_clock_that_is_set_makes_nothing_late_and_a_restart_forgets_nothing(store: Store) -> None:
    book, times = Book(["police"], "test"), Times()
    watch = Deadline(store, lambda: None, lambda: times.now_us, lambda: times.seconds)
    watch.look()
    incident = press(store, book, 1, times.now_us)
    watch.look()
    times.now_us += 3600 * S
    times.seconds += 10
    assert watch.look() == []
    times.now_us -= 7200 * S
    times.seconds += 10
    assert watch.look() == [incident]
    # Another process finds one that has waited for 15 s: 5 are left.
    with store.write() as conn:
        book.record_stage(conn, incident, "closed", "operator:Siti", {"disposition": "test"}, times.now_us)
    second = press(store, book, 2, times.now_us)
    times.pass_s(15)
    restarted = Deadline(store, lambda: None, lambda: times.now_us, lambda: times.seconds)
    assert restarted.look() == []
    times.pass_s(5)
    assert restarted.look() == [second]


def test_the_desk_and_the_commands_show_it(tmp_path: Path) -> None:
    config = tmp_path / "sigap.toml"
    write_example(config, {"gateway.data_dir": str(tmp_path)})
    settings = load_settings(config, {})
    with lab_store(tmp_path) as store:  # sigap.db, where the settings look
        book = Book(["police"], "test")
        incident = press(store, book, 1, NOW)
        Deadline(store, lambda: None).look()
        lost = enqueue(store, "relative:7", incident)
        with store.write() as conn:
            rows.give_up(conn, lost, now_us=NOW, error="550 no such user")
        with store.read() as conn:
            (row,) = look.queue(conn, ZoneInfo("Asia/Jakarta"))
            assert row["late"]
    runner = CliRunner()
    shown = json.loads(runner.invoke(backends, ["--json", "--config", str(config)]).stdout)["backends"]
    by_name = {each["destination"]: each for each in shown}
    assert set(by_name) == {"backend:police", "relative:", "device:"}
    police = by_name["backend:police"]
    assert (police["pending"], police["late"], police["policy"]["deadline_s"]) == (1, True, 20.0)
    assert police["policy"]["schedule"][0] == {"attempt": 1, "least_s": 0.8, "longest_s": 1.0, "loud": False}
    assert deadlines(settings) == {each["destination"]: each["policy"]["deadline_s"] for each in shown}
    assert police["breaker"] == {"opens_after": 5, "probes_every_s": 3.0}
    assert (by_name["relative:"]["dead"], by_name["relative:"]["policy"]["lasts_s"]) == (1, 86400.0)
    assert not any(secret in json.dumps(shown) for secret in settings.secrets())
    assert "backend:police" in runner.invoke(backends, ["--config", str(config)]).stdout

    listed = json.loads(runner.invoke(outbox, ["list", "--json", "--config", str(config)]).stdout)
    assert [(each["delivery"], each["last_error"]) for each in listed["dead"]] == [(lost, "550 no such user")]
    assert [each["destination"] for each in listed["waiting"]] == ["backend:police"]
    refused = runner.invoke(outbox, ["resend", lost, "no-such-one", "--config", str(config)])
    assert "no-such-one is not a dead letter" in str(refused.exception)
    assert runner.invoke(outbox, ["resend", "--config", str(config)]).exit_code == 2
    resent = runner.invoke(outbox, ["resend", "--all", "--json", "--config", str(config)])
    assert json.loads(resent.stdout) == {"resent": [lost]}
    with open_store(settings.store_url) as store:
        row = row_of(store, lost)
        assert (row.state, row.done_at, row.id) == ("pending", None, lost)


def test_the_word_for_it_is_in_both_languages() -> None:
    for language in ("id", "en"):
        translate = translator(language)
        assert event_words("not_accepted", {}, translate) != "not_accepted"
        assert destination_words("relative:7", translate).endswith("(7)")
