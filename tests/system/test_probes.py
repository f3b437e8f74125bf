"""What a monitor sees of the running gateway: metrics that Prometheus reads, and readiness that follows the truth."""

from __future__ import annotations

import json
import signal
import sqlite3
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gateway_lab import LIMIT_S, Broker, Button, GatewayProcess, lab, wait_until
from prometheus_client.parser import text_string_to_metric_families

from gateway.operations.probes import Readiness, Shared


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[Broker, GatewayProcess, Any]]:
    with lab(tmp_path) as made:
        made[1].start()
        made[1].wait_healthy()
        yield made


def get(gateway: GatewayProcess, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{gateway.http_port}{path}", timeout=LIMIT_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def metrics(gateway: GatewayProcess) -> dict[tuple[str, ...], float]:
    status, text = get(gateway, "/metrics")
    assert status == 200, text
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def problems(gateway: GatewayProcess) -> list[str]:
    status, text = get(gateway, "/health/ready")
    report = json.loads(text)
    assert (status == 200) == report["ready"] == (not report["problems"])
    return report["problems"]


def test_a_monitor_sees_what_is_so(running: tuple[Broker, GatewayProcess, Any]) -> None:
    broker, gateway, new_button = running
    assert get(gateway, "/health/live") == (200, '{"live":true}')
    assert problems(gateway) == []
    button: Button = new_button("shop-1")
    for _ in range(3):
        activation = button.press()
        button.expect("receipt", activation)
    button.send(b"{noise}")
    wait_until(lambda: metrics(gateway).get(("sigap_messages_refused_total", "json")) == 1, "the refusal counted")
    wait_until(lambda: metrics(gateway)["sigap_receipt_seconds_count",] >= 4, "and acknowledged, a moment after")
    seen = metrics(gateway)
    assert seen["sigap_alarms_total",] == 3
    assert 0 < seen["sigap_receipt_seconds_sum",] < 60
    assert (seen["sigap_incidents_open",], seen["sigap_devices",]) == (1, 1)
    assert seen["sigap_outbox_pending", "backend:police"] >= 1
    assert seen["sigap_broker_connected",] == 1
    assert seen["process_resident_memory_bytes",] > 0
    # Nothing that says whose: neither names nor labels grow with devices.
    assert not {label for key in seen for label in key[1:]} & {button.name, "shop-1"}

    # The store refuses to write: another process holds its lock.
    with sqlite3.connect(gateway.folder / "var" / "sigap.db", isolation_level=None) as holds:
        holds.execute("BEGIN IMMEDIATE")
        wait_until(lambda: "store-fails" in problems(gateway), "not ready while nothing can be committed", 20)
        assert get(gateway, "/health/live")[0] == 200
        holds.execute("ROLLBACK")
    holds.close()
    wait_until(lambda: problems(gateway) == [], "ready again", 20)
    broker.kill()
    wait_until(lambda: problems(gateway) == ["broker-not-connected"], "not ready without a broker", 20)
    assert metrics(gateway)["sigap_broker_connected",] == 0
    broker.start()
    wait_until(lambda: problems(gateway) == [], "ready again", 20)
    assert gateway.stop(signal.SIGTERM) == 0


def test_a_writer_that_hangs_is_not_ready() -> None:
    class Stuck:
        busy_s, alive = 60.0, True

        def health(self) -> dict[str, Any]:
            return {"ok": True, "waiting": 0, "error": None}

    class Up:
        connected = True

    readiness = Readiness(None, Up(), Stuck())  # type: ignore[arg-type]
    readiness._commits = Shared(lambda: True, 1)
    assert readiness.report() == {"ready": False, "problems": ["writer-stuck"]}


def test_however_many_ask_it_is_looked_into_once() -> None:
    looked = []
    shared = Shared(lambda: looked.append(1), 60)
    threads = [threading.Thread(target=shared.get) for _ in range(20)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(looked) == 1
