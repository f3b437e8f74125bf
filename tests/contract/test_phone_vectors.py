"""The phones' vectors, which only cryptography and the standard library made, against the gateway's reader."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from gateway.commands.phones import phone as command
from gateway.ingest import phone
from gateway.ingest.judge import Opened, Rejection, judge
from gateway.registry.devices import PHONE, Device
from panic_wire.frames import FrameError, Header
from panic_wire.keys import broker_password
from panic_wire.words import STAGE_NAMES

FILE = Path(__file__).resolve().parents[2] / "docs" / "api" / "phone-vectors.json"
VECTORS = json.loads(FILE.read_text())
ROOT, NAME = bytes.fromhex(VECTORS["root_key"]), VECTORS["phone"]
DEVICE = Device(int(NAME, 16), "phone-1", ROOT, kind=PHONE)


def verdict(jws: str | bytes) -> Any:
    payload = jws.encode() if isinstance(jws, str) else jws
    return judge(phone.up(NAME), payload, {DEVICE.id: DEVICE}.get)


def test_keys() -> None:
    assert phone.mac_key(ROOT, DEVICE.id, "up").hex() == VECTORS["up_key"]
    assert phone.mac_key(ROOT, DEVICE.id, "down").hex() == VECTORS["down_key"]
    assert broker_password(ROOT, DEVICE.id) == VECTORS["broker_password"]


@pytest.mark.parametrize("case", VECTORS["messages"], ids=lambda case: case["name"])
def test_messages(case: dict[str, Any]) -> None:
    opened, said = verdict(case["jws"]), case["message"]
    assert isinstance(opened, Opened), opened
    assert opened.header == Header(phone.TYPES[said["type"]], 0, DEVICE.id, said["epoch"], said["counter"])
    for name in ("activation", "age_ms", "silent", "repeated", "duress"):
        if hasattr(opened.body, name):
            assert getattr(opened.body, name) == said.get(name, 0), name
    if "position" in said and said["type"] != "heartbeat":
        body = opened.body
        assert (body.lat_e7, body.lon_e7, body.accuracy_m, body.fix_age_s) == (-69932000, 1104203000, 12, 3)
        assert body.pack()  # fits what a button's does
    assert len(case["jws"]) < phone.MOST_BYTES


@pytest.mark.parametrize("case", VECTORS["bad"], ids=lambda case: case["name"])
def test_bad(case: dict[str, Any]) -> None:
    refused = verdict(case["jws"])
    assert isinstance(refused, Rejection)
    assert refused.reason == case["reason"], refused


def test_statuses() -> None:
    stages = {name: number for number, name in STAGE_NAMES.items()}
    for case in VECTORS["statuses"]:
        said = case["message"]
        answers = Header(1, 0, DEVICE.id, said["epoch"], said["counter"])
        made = phone.status(ROOT, DEVICE.id, stages[said["stage"]], said["activation"], answers)
        assert json.loads(phone.opened(phone.mac_key(ROOT, DEVICE.id, "down"), made)) == said
        assert phone.PhoneStatus.model_validate(said)
        assert made == case["jws"].encode()


@given(st.binary(max_size=1100) | st.text(max_size=300).map(str.encode))
def test_no_bytes_do_anything(noise: bytes) -> None:
    assert isinstance(verdict(noise), Rejection)
    with pytest.raises(FrameError):
        phone.opened(phone.mac_key(ROOT, DEVICE.id, "up"), noise)


@given(st.binary(max_size=600))
def test_what_is_signed_is_read_or_refused(payload: bytes) -> None:
    refused = verdict(phone.signed(phone.mac_key(ROOT, DEVICE.id, "up"), payload))
    assert isinstance(refused, Rejection)
    assert refused.reason == "bad-body"


def test_another_client_is_told_what_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "messages.txt"
    asked = ["check", str(file), "--phone", NAME, "--root-key", VECTORS["root_key"]]
    file.write_text("\n".join(each["jws"] for each in VECTORS["messages"]))
    done = CliRunner().invoke(command, asked)
    assert (done.exit_code, done.output.count(": fine")) == (0, len(VECTORS["messages"])), done.output
    (first, *_) = VECTORS["messages"]
    file.write_text("\n".join(each["jws"] for each in [first, *VECTORS["bad"], first]))
    done = CliRunner().invoke(command, [*asked, "--json"])
    assert done.exit_code == 1
    said = json.loads(done.stdout)
    assert [each["reason"] for each in said][1:-1] == [each["reason"] for each in VECTORS["bad"]]
    assert said[-1]["reason"] == "replayed"
