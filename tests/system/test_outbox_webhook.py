"""From a committed alarm to the police and back: store, book, outbox, webhook and a real police desk."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from starlette.applications import Starlette

from gateway.backend_settings import WebhookSettings
from gateway.backends.accepting import accepts
from gateway.backends.webhook import WebhookBackend
from gateway.clock import now_us
from gateway.inbound.callbacks import routes
from gateway.incidents.book import Book
from gateway.outbox import breaker
from gateway.outbox.engine import Outbox
from gateway.outbox.retry import RetryPolicy
from gateway.registry.devices import get_device
from gateway.store.engine import Store
from gateway.store.schema import deliveries, events, incidents
from panic_wire.frames import ALARM, Alarm, Header
from tests.unit.gateway.outbox_lab import DEVICE, lab_store, served
from tests.unit.police.police_lab import CALLBACK_SECRET, SECRET, PoliceDesk

LIMIT_S = 20.0
QUICK = RetryPolicy(first_s=0.05, first_tries=100, most_s=0.2)
STAGES = ["acknowledged", "dispatched", "on_scene", "closed"]


class Police(WebhookSettings):
    """One [[backends]] table, with the tests' secrets."""

    name: str = "police"
    secret: str = SECRET
    callback_secret: str = CALLBACK_SECRET


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with lab_store(tmp_path) as store:
        yield store


def press(store: Store, *names: str, number: int = 1) -> str:
    """Commit an alarm as ingest does, in an incident of its own; returns the incident."""
    with store.write() as conn:
        device = get_device(conn, DEVICE)
        assert device is not None
        # The next press opens an incident of its own only when the last one is over.
        conn.execute(incidents.update().values(state="closed"))
        header = Header(ALARM, 0, DEVICE, 1, number)
        return Book(names or ["police"], "test").take_alarm(conn, device, header, Alarm(number), now_us()).incident_id


@contextlib.contextmanager
def running(store: Store, *backends: WebhookSettings) -> Iterator[Outbox]:
    """The outbox on an event loop in a thread of its own, with a schedule that a test has time for."""
    book = Book([backend.name for backend in backends], "test")
    outbox = Outbox(store, [WebhookBackend(each, accepts(book.record_stage), policy=QUICK) for each in backends])
    loop = asyncio.new_event_loop()
    task = loop.create_task(outbox.run())

    def run() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            loop.run_until_complete(task)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield outbox
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join(10)
        loop.close()


def all_of(store: Store, table: sa.Table) -> list[Any]:
    with store.read() as conn:
        return list(conn.execute(sa.select(table)))


def wait_until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < deadline, f"{what} did not happen within {LIMIT_S:g} s"
        time.sleep(0.01)


def told_police(store: Store) -> list[Any]:
    return [row for row in all_of(store, deliveries) if row.destination == "backend:police"]


def accepted(store: Store) -> bool:
    rows = all_of(store, incidents)
    return bool(rows) and all(row.accepted for row in rows)


def test_a_desk_that_fails_refuses_and_dawdles_gets_the_alarm_all_the_same(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaker, "PROBE_EVERY_S", 0.2)
    with (
        PoliceDesk(tmp_path, "--fail", "2") as desk,
        running(store, Police(url=desk.alarms, timeout_s=0.4)) as outbox,
    ):
        incident = press(store)
        outbox.wake()
        [delivery] = desk.received(at_least=3)
        wait_until(lambda: accepted(store), "accepted after failing")
        assert delivery["answers"][:2] == [503, 503]
        assert delivery["webhook_id"] == delivery["body"]["id"] == told_police(store)[0].id
        assert delivery["body"]["data"]["incident"] == incident

        desk.behave(refuse=True)
        press(store, number=2)
        outbox.wake()
        refused = desk.received(at_least=5)[1]
        assert refused["answers"][0] == 403
        wait_until(lambda: told_police(store)[-1].last_error is not None, "a reason")
        assert "it answered 403 Forbidden (does it know our secret?)" in told_police(store)[-1].last_error
        desk.behave(refuse=False, slow_s=3)

        wait_until(lambda: "no answer within 0.4 s" in (told_police(store)[-1].last_error or ""), "a time-out")
        desk.behave(slow_s=0)
        wait_until(lambda: accepted(store), "accepted after refusing and dawdling")
        deliveries_seen = desk.received()
    assert [each["webhook_id"] for each in deliveries_seen] == [row.id for row in told_police(store)]
    assert deliveries_seen[1]["arrivals"] >= 3
    assert [row.kind for row in all_of(store, events)].count("accepted") == 2
    assert {row.state for row in told_police(store)} == {"done"}


def test_a_backend_that_never_answers_delays_no_other(store: Store, tmp_path: Path) -> None:
    """It takes connections and says nothing; the other gets everything while the first still hangs."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent, PoliceDesk(tmp_path) as desk:
        dead = Police(name="dead", url=f"http://127.0.0.1:{silent.getsockname()[1]}/", timeout_s=60.0)
        with running(store, dead, Police(url=desk.alarms)) as outbox:
            press(store, "dead", "police")
            outbox.wake()
            connection, _ = silent.accept()
            with connection:
                connection.settimeout(LIMIT_S)
                assert connection.recv(4) == b"POST"  # the dead one has its first alarm in hand
                for number in range(2, 22):
                    press(store, "dead", "police", number=number)
                    outbox.wake()
                seen = desk.received(at_least=21)
                assert len({each["webhook_id"] for each in seen}) == 21
                wait_until(lambda: accepted(store), "accepted by the other")
                to_dead = [row for row in all_of(store, deliveries) if row.destination == "backend:dead"]
                first = [row for row in to_dead if row.kind == "id.sigap.incident.opened.v1"]
                assert {row.state for row in to_dead} == {"pending"}
                assert {row.attempts for row in first} <= {0, 1}


def test_an_outbox_killed_with_the_webhook_in_flight_delivers_again_with_the_same_id(
    store: Store, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'sigap.db'}"

    def start() -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.system.outbox_process", url, desk.alarms, SECRET]
        return subprocess.Popen(command, stderr=subprocess.DEVNULL)

    with PoliceDesk(tmp_path, "--slow", "3600") as desk:
        incident = press(store)
        process = start()
        try:
            [before] = desk.received(at_least=1)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        [row] = told_police(store)
        assert (row.state, row.attempts) == ("pending", 1)
        assert row.leased_until > now_us()  # it died holding its lease
        assert not accepted(store)

        desk.behave(slow_s=0)
        process = start()
        try:
            [after] = desk.received(at_least=2)
            wait_until(lambda: accepted(store), "accepted after the kill")
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
    assert (after["webhook_id"], after["body"]) == (before["webhook_id"], before["body"])
    [row] = told_police(store)
    assert (row.state, row.attempts, row.incident_id) == ("done", 2, incident)
    assert [event.kind for event in all_of(store, events)].count("accepted") == 1


@contextlib.contextmanager
def gateway(store: Store) -> Iterator[str]:
    """The callbacks' route over real HTTP; gives the URL for the backend "police"."""
    backend = Police(url="http://127.0.0.1:9/")
    app = Starlette(routes=routes(store, Book(["police"], "test"), [backend], lambda: None))
    with served(app) as base:
        yield f"{base}/v1/backends/police/status"


def test_the_desk_answers_every_stage_by_itself(store: Store, tmp_path: Path) -> None:
    """It says later that it has accepted; each stage becomes an event and a delivery to the button."""
    auto = ",".join(f"{stage}={0.01 * number}" for number, stage in enumerate(["accepted", *STAGES]))
    with gateway(store) as url:
        arguments = ["--callback-url", url, "--callback-secret", CALLBACK_SECRET, "--later", "--auto", auto]
        with PoliceDesk(tmp_path, *arguments) as desk, running(store, Police(url=desk.alarms)):
            press(store)
            wait_until(lambda: all_of(store, incidents)[0].state == "closed", "closed")
    assert accepted(store)
    assert all_of(store, incidents)[0].disposition == "exercise"
    kinds = [event.kind for event in all_of(store, events)]
    assert kinds == ["opened", "accepted", *STAGES]
    to_button = [row for row in all_of(store, deliveries) if row.destination == f"device:{DEVICE:08x}"]
    told = [json.loads(row.payload)["stage"] for row in sorted(to_button, key=lambda row: row.created_at)]
    assert told == ["accepted", *STAGES]


def test_buttons_and_what_the_gateway_says_to_them(store: Store, tmp_path: Path) -> None:
    with gateway(store) as url:
        good = ["--callback-url", url, "--callback-secret", CALLBACK_SECRET]
        with PoliceDesk(tmp_path, *good) as desk:
            incident = press(store)
            desk.send_alarm("d1", incident)
            desk.send_alarm("d2", "no-such-incident")

            def push(which: str, stage: str, **form: str) -> dict[str, Any]:
                body = json.dumps(form).encode()
                _, answer, _ = desk.request(f"incidents/{which}/{stage}", body, content_type="application/json")
                return json.loads(answer)

            assert push(incident, "dispatched", unit="Patroli 12")["ok"] is True
            behind = push(incident, "acknowledged")
            assert behind["ok"] is True
            assert '"changed":false' in behind["answer"]
            unknown = push("no-such-incident", "acknowledged")
            assert unknown["ok"] is False
            assert unknown["answer"].startswith("404 ")
            # A person's button: the page comes back at once, the stage is sent behind it.
            status, page, _ = desk.request(f"incidents/{incident}/closed", b"disposition=false", accept="text/html")
            assert status == 200
            assert b"<!doctype html>" in page
            wait_until(lambda: all_of(store, incidents)[0].state == "closed", "closed by the button")
        assert all_of(store, incidents)[0].disposition == "false"
        with PoliceDesk(tmp_path, "--callback-url", url, "--callback-secret", SECRET) as stranger:
            stranger.send_alarm("d3", incident)
            _, answer, _ = stranger.request(f"incidents/{incident}/acknowledged", b"")
            assert json.loads(answer)["answer"].startswith("401 ")
