"""docs/integrator.md is kept true: its example, table and programs are compared with the code, or run."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from starlette.applications import Starlette

from gateway.backend_settings import WebhookSettings
from gateway.backends.webhook import POLICY, WebhookBackend
from gateway.inbound.callbacks import BURST, MOST_A_SECOND, routes
from gateway.inbound.status_event import StatusData
from gateway.incidents.book import Book
from gateway.incidents.cloudevents import TYPES, UPDATED_TYPE
from gateway.incidents.facts import DURESS, MISTAKE, MOVE_TELLS_M, OTHERS_IN_DANGER, STILL_IN_DANGER
from gateway.incidents.joining import SITE_RADIUS_M
from gateway.incidents.stages import DISPOSITIONS
from gateway.outbox import rows
from gateway.outbox.breaker import OPEN_AFTER, PROBE_EVERY_S
from gateway.outbox.port import Delivery
from gateway.registry.devices import add_device, get_device
from gateway.registry.people import add_owner
from gateway.settings import load_settings
from gateway.store.engine import Store
from gateway.store.schema import deliveries, incidents
from panic_wire.frames import ALARM, Alarm, Cancel, Header
from tests.unit.gateway.outbox_lab import served
from tests.unit.gateway.store_lab import new_store
from tests.unit.police.police_lab import CALLBACK_SECRET, SECRET

PAGE = Path(__file__).parents[3] / "docs" / "integrator.md"
AT = 1_795_491_641_250_000  # 2026-11-24T03:40:41.250Z
BACKEND = WebhookSettings(name="police", url="http://127.0.0.1:9/", secret=SECRET, callback_secret=CALLBACK_SECRET)


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """One incident, always with the ids of the page."""
    numbers = iter(range(1, 100))
    monkeypatch.setattr(rows, "new_id", lambda _: f"01a3f4e2-9c62-7000-8000-{next(numbers):012d}")
    with new_store(tmp_path / "sigap.db") as store:
        with store.write() as conn:
            add_owner(
                conn,
                name="Toko Contoh",
                telephone="+62 24 000000",
                address="Jalan Contoh 1, Semarang",
                registered_message="Tolong, ada bahaya di toko.",
                now_us=AT,
            )
            device = add_device(
                conn,
                name="shop-1",
                owner="Toko Contoh",
                site_name="kasir",
                site_lat=-6.9825,
                site_lon=110.4093,
                device_id=0xA1B2,
                root_key=bytes(16),
                now_us=AT,
            )
            header = Header(ALARM, 0, device.id, 0x5EED5EED, 65)
            alarm = Alarm(7, age_ms=412, lat_e7=-69_824_871, lon_e7=1_104_093_217, accuracy_m=8, fix_age_s=2)
            Book(["police"], "polres-semarang").take_alarm(conn, device, header, alarm, AT)
        yield store


@pytest.fixture
def callback_url(store: Store) -> Iterator[str]:
    app = Starlette(routes=routes(store, Book(["police"], "polres-semarang"), [BACKEND], lambda: None))
    with served(app) as base:
        yield f"{base}/v1/backends/police/status"


def body_in(store: Store) -> dict[str, Any]:
    with store.read() as conn:
        return json.loads(conn.execute(sa.select(deliveries.c.payload)).scalar_one())


def incident_in(store: Store) -> Any:
    with store.read() as conn:
        return conn.execute(sa.select(incidents)).one()


def test_the_example_is_what_the_gateway_sends(store: Store) -> None:
    assert json.loads(blocks("json")[0]) == body_in(store)


def test_the_example_of_a_cancel_is_what_the_gateway_sends(store: Store) -> None:
    opened = body_in(store)
    with store.write() as conn:
        device = get_device(conn, 0xA1B2)
        assert device is not None
        book = Book(["police"], "polres-semarang")
        book.take_cancel(conn, device, Cancel(7, age_ms=1000, duress=True), AT + 12_000_000)
        query = sa.select(deliveries.c.payload).order_by(deliveries.c.created_at.desc()).limit(1)
        sent = json.loads(conn.execute(query).scalar_one())
    shown = json.loads(blocks("json")[1])
    shared = {key: sent["data"][key] for key in shown["data"]}
    assert {**sent, "data": shared} == shown
    assert sent["data"].keys() == opened["data"].keys()
    page = PAGE.read_text(encoding="utf-8")
    for word in (MISTAKE, DURESS, STILL_IN_DANGER, OTHERS_IN_DANGER):
        assert f"| `{word}` |" in page
    for kind in (*TYPES.values(), UPDATED_TYPE):
        assert f"`{kind}`" in page
    assert f"within {SITE_RADIUS_M} metres of each other" in page
    assert f"{MOVE_TELLS_M} metres or more" in page


def test_the_settings_shown_are_settings(tmp_path: Path) -> None:
    path = tmp_path / "sigap.toml"
    path.write_text(blocks("toml")[0].replace("whsec_...", SECRET))
    (found,) = load_settings(path, {}).backends
    assert isinstance(found, WebhookSettings)
    shown = set(re.findall(r"^(\w+) =", blocks("toml")[0], re.M))
    later = {"receives", "next_secret", "next_callback_secret"}
    assert shown == set(WebhookSettings.model_fields) - later
    page = PAGE.read_text(encoding="utf-8")
    for name in later - {"receives"}:  # of which backends.md tells
        assert f"`{name}`" in page
    assert f"more than {MOST_A_SECOND} a second, or {BURST} at once" in page


def test_the_figures_are_those_of_the_code() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert str(POLICY) in page
    assert f"After {OPEN_AFTER} failures in a row" in page
    assert f"every {PROBE_EVERY_S:g} seconds" in page
    for name in (*DISPOSITIONS, *StatusData.model_fields):
        assert f"`{name}`" in page


def run(command: list[str], callback_url: str) -> str:
    env = {**os.environ, "SIGAP_CALLBACK_URL": callback_url, "SIGAP_CALLBACK_SECRET": CALLBACK_SECRET}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_python_example_tells_a_stage(store: Store, callback_url: str, tmp_path: Path) -> None:
    program = tmp_path / "say.py"
    program.write_text(blocks("python")[1], encoding="utf-8")
    incident = incident_in(store).id
    said = run([sys.executable, str(program), incident, "dispatched"], callback_url)
    assert json.loads(said) == {
        "incident": incident,
        "status": "dispatched",
        "changed": True,
        "repeated": False,
    }
    run([sys.executable, str(program), incident, "closed", "genuine"], callback_url)
    assert (incident_in(store).state, incident_in(store).disposition) == ("closed", "genuine")


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("openssl")), reason="needs curl and openssl")
def test_the_curl_example_tells_a_stage(store: Store, callback_url: str) -> None:
    incident = incident_in(store).id
    said = run(["bash", "-euc", f"INCIDENT={incident}\n{blocks('sh')[0]}"], callback_url)
    assert json.loads(said)["changed"] is True
    assert incident_in(store).state == "acknowledged"


def test_the_receiving_example_takes_an_alarm_once(store: Store, tmp_path: Path) -> None:
    program = tmp_path / "receive.py"
    program.write_text(blocks("python")[0], encoding="utf-8")
    env = {**os.environ, "SIGAP_SECRET": SECRET, "PORT": "0"}
    process = subprocess.Popen([sys.executable, str(program)], env=env, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        port = int(process.stdout.readline().split()[-1])
        event = body_in(store)
        delivery = Delivery(event["id"], "backend:police", event["subject"], event["type"], event, 1, AT)

        async def attempts() -> list[bool]:
            url = f"http://127.0.0.1:{port}/alarms"
            good = WebhookBackend(BACKEND.model_copy(update={"url": url}), lambda *_: True)
            other = BACKEND.model_copy(update={"url": url, "secret": CALLBACK_SECRET})
            stranger = WebhookBackend(other, lambda *_: True)
            try:
                each = (good, good, stranger)
                return [(await backend.deliver(delivery)).effect is not None for backend in each]
            finally:
                await good.close()
                await stranger.close()

        assert asyncio.run(attempts()) == [True, True, False]
    finally:
        process.terminate()
        process.wait(10)
    assert process.stdout.read().count(event["subject"]) == 1
    process.stdout.close()
