"""`sigap doctor` on a whole installation, then on what can be wrong with one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from gateway_lab import CALLBACK_SECRET, PASSWORD, SECRET, wait_until

from gateway.clock import now_us
from gateway.registry.devices import add_device
from gateway.store.engine import open_store, sqlite_url
from gateway.store.keys import FILE
from sigap.cli import sigap
from sigap.processes import free_port

Found = dict[str, list[tuple[str, str]]]


@pytest.fixture
def whole(tmp_path: Path) -> Iterator[tuple[Path, dict[str, subprocess.Popen[bytes]]]]:
    """The shipped broker with TLS, the gateway, a police server, and their settings file."""
    police = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    threading.Thread(target=police.serve_forever, daemon=True).start()
    config = tmp_path / "sigap.toml"
    config.write_text(
        f'[broker]\nport = {free_port()}\ntls_port = {free_port()}\npassword = "{PASSWORD}"\n'
        f'[http]\nport = {free_port()}\n[[backends]]\nname = "police"\n'
        f'url = "http://127.0.0.1:{police.server_port}/"\nsecret = "{SECRET}"\ncallback_secret = "{CALLBACK_SECRET}"\n'
    )
    config.chmod(0o600)
    with open_store(sqlite_url(tmp_path / "var" / "sigap.db")) as store, store.write() as conn:
        add_device(conn, name="shop-1", now_us=now_us())
    started = {}
    for part in ("broker", "gateway"):
        command = [sys.executable, "-m", "sigap.cli", part, "--config", str(config)]
        with (tmp_path / f"{part}.log").open("wb") as log:
            started[part] = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield config, started
    finally:
        for process in started.values():
            process.kill()
            process.wait()
        police.shutdown()
        police.server_close()


def examine(config: Path) -> tuple[bool, Found]:
    done = CliRunner().invoke(sigap, ["doctor", "--json", "--config", str(config)])
    report = json.loads(done.output)
    assert report["ok"] == (done.exit_code == 0)
    found: Found = {}
    for each in report["findings"]:
        found.setdefault(each["check"], []).append((each["state"], each["says"]))
        assert each["todo"] or each["state"] == "ok", "whatever is not well comes with what to do"
    return report["ok"], found


def states(found: Found, check: str) -> set[str]:
    return {state for state, _ in found[check]}


def test_a_whole_installation_and_what_can_be_wrong(whole: tuple[Path, dict[str, Any]]) -> None:
    config, processes = whole
    data = config.parent / "var"
    wait_until(lambda: states(examine(config)[1], "gateway") == {"ok"}, "a gateway that takes alarms", 60)
    ok, found = examine(config)
    assert ok, found
    assert {check for check in found if states(found, check) == {"ok"}} >= set(found) - {"clock", "disk"}
    said = " ".join(says for _, says in found["broker"])
    assert "refuses strangers" in said
    assert "over TLSv1" in said
    assert "the certificate server.pem is good for" in said
    shown = CliRunner().invoke(sigap, ["doctor", "--config", str(config)]).output
    assert "OK    gateway: it takes alarms" in shown

    config.chmod(0o644)
    (data / "broker" / "passwords").chmod(0o640)
    os.chown(data / "broker" / "passwords", 12345, 12345) if os.geteuid() == 0 else None
    processes["gateway"].kill()
    processes["gateway"].wait()
    processes["broker"].kill()
    processes["broker"].wait()
    config.write_text(config.read_text().replace("127.0.0.1:", "127.0.0.2:"))
    key = data / FILE
    key.write_text(key.read_text()[:-2] + "0\n" if key.read_text()[-2] != "0" else key.read_text()[:-2] + "1\n")
    ok, found = examine(config)
    assert not ok
    assert len(found["file modes"]) == 2
    assert states(found, "broker") == states(found, "gateway") == states(found, "backends") == {"bad"}
    assert "wrapped under the master key" in found["store"][0][1]

    config.write_text("[brokr]\n")
    assert examine(config) == (False, {"settings": [("bad", f"{config}: unknown key brokr")]})


def test_a_damaged_store_and_dead_letters(tmp_path: Path) -> None:
    config = tmp_path / "sigap.toml"
    config.write_text(f'[broker]\npassword = "{PASSWORD}"\nport = {free_port()}\n[http]\nport = {free_port()}\n')
    assert states(examine(config)[1], "store") == {"warn"}
    assert not (tmp_path / "var").exists(), "it changes nothing"
    path = tmp_path / "var" / "sigap.db"
    with open_store(sqlite_url(path)) as store, store.write() as conn:
        device = add_device(conn, name="shop-1", now_us=now_us())
        conn.exec_driver_sql(
            "INSERT INTO incidents (id, device_id, state, opened_at, changed_at) VALUES ('i', ?, 'open', 1, 1)",
            (device.id,),
        )
        for number, (to, state) in enumerate((("backend:police", "pending"), ("backend:polda", "dead"))):
            conn.exec_driver_sql(
                "INSERT INTO deliveries (id, destination, incident_id, kind, payload, state, next_at, created_at)"
                " VALUES (?, ?, 'i', 'k', '{}', ?, 1, 1)",
                (str(number), to, state),
            )
    found = examine(config)[1]
    assert states(found, "store") == {"ok"}
    assert [state for state, _ in found["outbox"]] == ["bad", "bad"]
    assert "1 deliveries were given up" in found["outbox"][1][1]
    content = bytearray(path.read_bytes())
    content[8192:12288] = b"\xff" * 4096
    path.write_bytes(content)
    assert states(examine(config)[1], "store") == {"bad"}
