"""A backup of a running gateway, the original destroyed, and back: no nonce twice, no device refused."""

from __future__ import annotations

import json
import shutil
import signal
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from gateway_lab import LIMIT_S, Broker, Button, GatewayProcess, lab, wait_until

from gateway.clock import now_us
from gateway.store import keys, schema
from gateway.store.engine import open_store
from gateway.supervision import commands
from panic_wire import topics
from panic_wire.bodies import ANSWER, pack_report
from panic_wire.frames import COMMAND, DONE, LOCATE, REPORT, RESTART, TEST_MODE_ON, unpack_header
from sigap.cli import sigap


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[tuple[Broker, GatewayProcess, Any]]:
    with lab(tmp_path) as made:
        yield made


def run(gateway: GatewayProcess, *arguments: str, code: int = 0) -> Any:
    done = CliRunner().invoke(sigap, [*arguments, "--json", "--config", str(gateway.config)])
    assert getattr(done.exception, "exit_code", done.exit_code) == code, done.output + repr(done.exception)
    return json.loads(done.output) if code == 0 else done.exception


def ask(gateway: GatewayProcess, button: Button, code: int) -> tuple[int, int]:
    """A command that is sent and answered; its (epoch, counter)."""
    with gateway.store.write() as conn:
        commands.ask(conn, button.device.id, code, b"", "administrator:root", now_us())
    header, command = button.commands.get(timeout=LIMIT_S)
    assert command.code == code
    button.send(button.frame(REPORT, pack_report(ANSWER, DONE, header.counter, b"")))
    wait_until(lambda: all(row["state"] == commands.DONE for row in gateway.rows(schema.commands)), "the answer")
    return header.epoch, header.counter


def beat(button: Button) -> None:
    button.heartbeat()
    button.times.get(timeout=LIMIT_S)


def settle(button: Button, activation: int) -> None:
    while button.heard.get(timeout=LIMIT_S)[1] != activation:
        pass


def test_back_from_yesterdays_backup(parts: tuple[Broker, GatewayProcess, Any], tmp_path: Path) -> None:
    _, gateway, new_button = parts
    gateway.start()
    gateway.wait_healthy()
    button = new_button("shop-1")
    button.send(topics.ONLINE, topic=topics.state(button.name))
    frame_before = button.repeat(1)
    settle(button, 1)
    before = ask(gateway, button, TEST_MODE_ON)
    beat(button)
    file = Path(run(gateway, "backup", "--out", str(tmp_path))["file"])
    assert stat.S_IMODE(file.stat().st_mode) == 0o600

    # A day goes by: alarms, commands, times; then another command waits when the machine dies.
    button.repeat(2)
    settle(button, 2)
    frame_after = button.repeat(3)
    settle(button, 3)
    after = ask(gateway, button, LOCATE)
    assert after > before
    for _ in range(3):
        beat(button)
    gateway.stop(signal.SIGKILL)
    gateway.store.close()
    key = tmp_path / "key"
    shutil.copyfile(gateway.folder / "var" / keys.FILE, key)
    shutil.rmtree(gateway.folder / "var")

    assert "needs the master key" in str(run(gateway, "restore", str(file), code=1))
    assert not (gateway.folder / "var" / "sigap.db").exists()
    (gateway.folder / "var").mkdir(exist_ok=True)
    key.rename(gateway.folder / "var" / keys.FILE)
    restored = run(gateway, "restore", str(file))
    assert restored["rows"]["devices"] == 1
    gateway.store = open_store(f"sqlite:///{gateway.folder / 'var' / 'sigap.db'}")
    assert [row["activation"] for row in gateway.rows(schema.alarms)] == [1]
    gateway.start()
    gateway.wait_healthy()

    # The device counts on, far ahead of the store's window, and is not refused. Its alarm of after the backup, which
    # it announces as it does after each reconnect, is an alarm again.
    button.repeat(3)
    settle(button, 3)
    button.repeat(4)
    settle(button, 4)
    assert {row["activation"] for row in gateway.rows(schema.alarms)} == {1, 3, 4}
    # A frame of before the backup is known; one of after it says nothing that the alarm's new frame has not said.
    button.send(frame_before)
    wait_until(lambda: [row["reason"] for row in gateway.rows(schema.quarantine)] == ["replayed"], "the replay")
    button.send(frame_after)
    settle(button, 3)
    assert len(gateway.rows(schema.alarms)) == 3
    # Commands go on in a new epoch, which devices take.
    assert ask(gateway, button, RESTART) > after
    beat(button)
    # No two frames under one nonce, which is made of the header's fields (CONTRACT.md, section 3).
    sealed: dict[bytes, bytes] = {}
    for frame in button.frames:
        assert sealed.setdefault(frame[:14], frame) == frame, "one nonce has sealed two texts"
    counted = [unpack_header(frame) for frame in button.frames if unpack_header(frame).type == COMMAND]
    assert {(header.epoch, header.counter) for header in counted} >= {before, after}
    assert len({header.epoch for header in counted}) == 2


def test_a_backup_holds_what_it_says_and_a_damaged_one_is_refused(
    parts: tuple[Broker, GatewayProcess, Any], tmp_path: Path
) -> None:
    _, gateway, _ = parts
    device = gateway.add_device("shop-1")
    made = run(gateway, "backup", "--out", str(tmp_path / "a.sigap-backup"), "--with-master-key")
    assert set(made["files"]) == {"sigap.db", "sigap.toml", "master.key"}
    assert made["master_key"] == made["wrapped_under"][0]
    assert "is there already" in str(run(gateway, "backup", "--out", made["file"], code=2))
    assert "there is a database already" in str(run(gateway, "restore", made["file"], code=2))

    # Onto an empty machine: settings and key come from it.
    gateway.store.close()
    gateway.folder = tmp_path / "new"
    gateway.folder.mkdir()
    gateway.config = gateway.folder / "sigap.toml"
    restored = run(gateway, "restore", made["file"])
    assert {Path(path).name for path in restored["written"]} == {"sigap.toml", "master.key"}
    assert stat.S_IMODE(gateway.config.stat().st_mode) == 0o600
    gateway.store = open_store(f"sqlite:///{gateway.folder / 'var' / 'sigap.db'}")
    assert run(gateway, "device", "list")[0]["name"] == "shop-1"
    # Once more in its place: aside with the other, and the epoch goes on even though the clock did not.
    again = run(gateway, "restore", made["file"], "--replace")
    assert again["epoch"] > restored["epoch"]
    assert Path(again["aside"]).exists()
    assert run(gateway, "restore", "--in-place")["epoch"] > again["epoch"]

    content = bytearray(Path(made["file"]).read_bytes())
    at = content.rindex(device.name.encode())
    content[at] ^= 1
    bad = tmp_path / "bad.sigap-backup"
    bad.write_bytes(content)
    assert "sigap.db in" in str(run(gateway, "restore", str(bad), "--replace", code=1))
    bad.write_bytes(b"no backup")
    assert "cannot be read as a backup" in str(run(gateway, "restore", str(bad), "--replace", code=2))
    assert {path.name for path in gateway.folder.iterdir() if path.name.startswith(".")} == set()
