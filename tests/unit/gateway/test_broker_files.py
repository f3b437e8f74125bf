"""The broker's files: the password format as Mosquitto's own tool writes it, and who gets a login."""

from __future__ import annotations

import base64
import multiprocessing
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.broker.files import password_line, write_broker_files
from gateway.broker.running import PLACES, refresh, reload, require_listenable, running_pid
from gateway.settings import BrokerSettings
from panic_wire.keys import broker_password
from sigap.problem import Problem

BROKER = BrokerSettings(password="a long password", port=18830)


@dataclass(frozen=True)
class Device:
    id: int
    root_key: bytes = bytes(16)
    revoked: bool = False


def names(folder: Path) -> list[str]:
    return [line.partition(":")[0] for line in (folder / "passwords").read_text().splitlines()]


def test_password_line_is_what_mosquitto_passwd_writes(tmp_path: Path):
    tool = shutil.which("mosquitto_passwd")
    assert tool, "mosquitto_passwd is missing: apt install mosquitto"
    file = tmp_path / "passwords"
    subprocess.run([tool, "-c", "-b", str(file), "0000a1b2", "pa:ss $7$ wörd"], check=True, capture_output=True)
    theirs = file.read_text().strip()
    _, kind, iterations, salt, _ = theirs.split("$")
    assert kind == "7"
    assert password_line("0000a1b2", "pa:ss $7$ wörd", int(iterations), base64.b64decode(salt)) == theirs


def test_revoked_devices_get_no_login(tmp_path: Path):
    write_broker_files(tmp_path, BROKER, [Device(1), Device(0xA1B2), Device(3, revoked=True)])
    assert names(tmp_path) == ["gateway", "00000001", "0000a1b2"]


def test_password_of_a_device_comes_from_its_root_key(tmp_path: Path):
    device = Device(0xA1B2, bytes(range(16)))
    write_broker_files(tmp_path, BROKER, [device])
    line = (tmp_path / "passwords").read_text().splitlines()[1]
    _, _, iterations, salt, _ = line.split("$")
    password = broker_password(device.root_key, device.id)
    assert password_line("0000a1b2", password, int(iterations), base64.b64decode(salt)) == line
    assert password not in line


def test_files_are_private_whatever_was_there_before(tmp_path: Path):
    (tmp_path / "passwords").touch(0o644)
    (tmp_path / "passwords.new").write_text("left over by a crash")
    (tmp_path / "passwords.new").chmod(0o666)
    write_broker_files(tmp_path, BROKER, [])
    found = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert found == {"mosquitto.conf": 0o600, "passwords": 0o600, "acl": 0o600}
    assert (tmp_path / "passwords").read_text().startswith("gateway:")


def test_paths_with_spaces_and_dots_reach_mosquitto(tmp_path: Path):
    folder = tmp_path / "data of sigap.d"
    write_broker_files(folder, BROKER, [])
    config = (folder / "mosquitto.conf").read_text()
    assert f"password_file {folder}/passwords\n" in config
    assert "listener 18830 127.0.0.1\n" in config


@pytest.mark.parametrize("password", ["", "short"])
def test_no_broker_without_a_password(tmp_path: Path, password: str):
    with pytest.raises(Problem, match="fewer than 12 characters") as caught:
        write_broker_files(tmp_path, BrokerSettings(password=password), [])
    assert caught.value.exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_unwritable_folder(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(Problem, match=r"broker's files in .* cannot be written"):
        refresh(tmp_path / "file", BROKER, list)


def test_no_broker_runs_here(tmp_path: Path):
    assert refresh(tmp_path, BROKER, list) is False
    assert names(tmp_path) == ["gateway"]
    for nonsense in ("", "x", "-1", "0", "1", "999999999"):
        (tmp_path / "mosquitto.pid").write_text(nonsense)
        assert running_pid(tmp_path) is None
        assert not reload(tmp_path)


def _slow_refresh(folder: Path, count, wait) -> None:
    def devices() -> list[Device]:
        with count.get_lock():
            count.value += 1
            mine = count.value
        if mine == 1:
            wait.wait(2)  # the second process would overtake here, were it not for the lock
        return [Device(number) for number in range(1, mine + 1)]

    refresh(folder, BROKER, devices)


def test_of_two_changes_at_once_the_later_list_stays(tmp_path: Path):
    context = multiprocessing.get_context("fork")
    count, wait = context.Value("i", 0), context.Event()
    children = [context.Process(target=_slow_refresh, args=(tmp_path, count, wait)) for _ in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join(30)
        assert child.exitcode == 0
    assert names(tmp_path) == ["gateway", "00000001", "00000002"]


def test_port_in_use_and_address_of_another_machine():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(Problem, match="is in use") as caught:
            require_listenable(BrokerSettings(port=taken.getsockname()[1]))
        assert caught.value.exit_code == 1
        free = taken.getsockname()[1]
    require_listenable(BrokerSettings(port=free))
    with pytest.raises(Problem, match=r"does not have the address 192\.0\.2\.1"):
        require_listenable(BrokerSettings(bind="192.0.2.1", port=free))
    with pytest.raises(Problem, match="is no address"):
        require_listenable(BrokerSettings(bind="no.such.host.invalid", port=free))


def test_places_beyond_path_are_looked_at():
    assert "/usr/sbin" in PLACES
