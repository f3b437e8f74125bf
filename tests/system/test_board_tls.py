"""The whole button over TLS, in the heap of a board: a press, its receipt, the light; and what TLS adds to the heap."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from gateway.broker.certificates import device_tls
from gateway.commands.options import refresh_broker
from sigap.processes import free_port
from tests.system.local_lab import committed, local, prepared, says

LIMIT_KB = 130  # of 140, used after a collection, asyncio with it, an alarm open


def test_one_press_over_tls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    monkeypatch.setenv("SIGAP_BROKER__TLS_PORT", str(port))
    with prepared(local(tmp_path)) as one:
        refresh_broker(one.settings, one.store)  # as `sigap device add` does, before it writes a device's settings
        world = tmp_path / "boards.json"
        boards = json.loads(world.read_text())
        for board in boards["boards"]:
            board["device"]["broker"] = {"host": "127.0.0.1", "port": port, "tls": device_tls(one.settings.broker_dir)}
        world.write_text(json.dumps(boards))
        one.start_all()
        client = one.world()
        idle = client.memory("citizen-1")
        client.press("citizen-1")
        says(client, "citizen-1", "received")
        assert len(committed(one)) == 1
        full = client.memory("citizen-1")
        with capsys.disabled():
            print(
                f"\nfirmware over TLS: {idle['firmware'] / 1024:.1f} kB idle, {full['firmware'] / 1024:.1f} kB with an "
                f"alarm open, {full['free'] / 1024:.1f} kB free; mbedTLS has its own "
                "memory beside this heap, here and on an ESP32"
            )
        assert full["firmware"] <= LIMIT_KB * 1024
        assert client.boards()[0]["resets"] == 0, client.console("citizen-1")
        # Nobody speaks to the broker in clear text but the gateway.
        log = (tmp_path / "logs" / "broker.log").read_text()
        assert f"on port {port}" in log
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.sendall(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a")
            sock.settimeout(5)
            try:
                answer = sock.recv(4)
            except ConnectionResetError:
                answer = b""
            assert answer[:1] != b"\x20"
