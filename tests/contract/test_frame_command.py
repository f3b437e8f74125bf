"""`sigap frame decode`, as a person and as a script use it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import panic_wire
from panic_wire.frames import STATUS, unpack_header
from sigap.frame import frame
from sigap.problem import Problem

VECTORS = json.loads((Path(panic_wire.__file__).parent / "vectors.json").read_text(encoding="utf-8"))
BY_NAME = {case["name"]: case for case in VECTORS["frames"]}
ALARM = BY_NAME["alarm with a fix"]
ROOT = ALARM["root_key"]


def decode(*arguments: str) -> Result:
    return CliRunner().invoke(frame, ["decode", *arguments])


def opened(name: str) -> str:
    case = BY_NAME[name]
    result = decode(case["frame"], "--key", case["root_key"])
    assert result.exit_code == 0, result.output
    return result.output


def problem(*arguments: str) -> Problem:
    result = decode(*arguments)
    assert isinstance(result.exception, Problem), result.output
    return result.exception


def test_an_alarm_with_the_key() -> None:
    assert opened("alarm with a fix").splitlines() == [
        "type:        alarm (up)",
        "device:      0000a1b2",
        "epoch:       5e1f00d5",
        "counter:     64",
        "alarm:       0000a1b2-1",
        "gesture:     three presses",
        "pressed:     1.234 s before sealing",
        "position:    -6.9932000, 110.4203000 (accuracy 5 m, fix 2 s old)",
        "flags:       none",
        "battery:     3.987 V",
    ]


def test_an_alarm_without_the_key_shows_no_body() -> None:
    result = decode(ALARM["frame"])
    assert result.exit_code == 0
    assert "device:      0000a1b2" in result.output
    assert "sealed" in result.output
    assert "--key" in result.output
    assert "pressed" not in result.output
    assert "-6.99" not in result.output


def test_what_is_unknown_is_said_to_be_unknown() -> None:
    assert "no fix" in opened("alarm without a fix")
    assert "mains or unknown" in opened("alarm without a fix")
    assert "fixed site, its place is in the registry" in opened("alarm, silent, at a fixed site")
    assert "silent, fixed site" in opened("alarm, silent, at a fixed site")
    corner = opened("alarm, fix of unknown accuracy and age, other corner of the globe")
    assert "accuracy unknown, age of the fix unknown" in corner
    assert "unknown (number 77)" in opened("alarm of a newer device: unknown gesture and flags")


def test_what_is_a_bound_is_said_to_be_one() -> None:
    repeated = opened("alarm by holding, repeated after a loss of power")
    assert "at least 1 min 35 s before sealing (power was lost since the press)" in repeated
    assert "gesture:     hold" in repeated
    full = opened("alarm, everything too great for its field")
    assert "at least 49 d 17 h 2 min 47 s before sealing" in full
    assert "accuracy at least 65534 m" in full


def test_a_heartbeat() -> None:
    lines = opened("heartbeat").splitlines()
    for line in (
        "uptime:      1 d",
        "WiFi:        -67 dBm",
        "firmware:    1.2.3",
        "flags:       GPS has a fix",
    ):
        assert line in lines


@pytest.mark.parametrize("stage", ["receipt", "accepted", "acknowledged", "dispatched", "on_scene", "closed"])
def test_each_stage_is_told_in_words(stage: str) -> None:
    text = opened(f"status {stage}")
    assert f"stage:       {stage.replace('_', ' ')}: " in text
    assert "alarm:       0000a1b2-1" in text
    # The stage is in the clear header.
    assert f"{stage.replace('_', ' ')}: " in decode(BY_NAME[f"status {stage}"]["frame"]).output


def test_a_heartbeats_receipt_belongs_to_no_alarm() -> None:
    assert "none: answers a heartbeat, trouble or report" in opened("status, receipt of a heartbeat")


@pytest.mark.parametrize("case", VECTORS["frames"], ids=lambda case: case["name"])
def test_json_has_the_whole_frame(case: dict[str, Any]) -> None:
    result = decode(case["frame"], "--key", case["root_key"], "--json")
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    header, reads = case["header"], dict(case["reads"])
    if "firmware" in reads:
        reads["firmware"] = ".".join(str(part) for part in reads["firmware"])
    assert document["body"] == reads
    assert document["device"] == f"{header['device']:08x}"
    assert (document["epoch"], document["counter"]) == (header["epoch"], header["counter"])
    assert document["authentic"] is True
    assert (document["stage"] is None) == (header["type"] != STATUS)


def test_json_without_the_key_says_that_nothing_is_proved() -> None:
    document = json.loads(decode(ALARM["frame"], "--json").stdout)
    assert document["authentic"] is None
    assert document["body"] is None
    assert document["type"] == "alarm"


@pytest.mark.parametrize("case", [c for c in VECTORS["bad"] if c["frame"]], ids=lambda case: case["name"])
def test_bad_frames_are_one_json_document_and_exit_code_1(case: dict[str, Any]) -> None:
    result = decode(case["frame"], "--key", case["root_key"], "--json")
    assert result.exit_code == 1
    error = json.loads(result.stdout)["error"]
    assert error["reason"] == case["reason"]
    assert error["message"]
    assert ("claims" in error) == (case["reason"] == "bad-tag")


def test_bad_frames_say_exactly_what_is_wrong() -> None:
    whole = ALARM["frame"]
    short = problem(whole[:42])
    assert short.what == "frame is 21 bytes; an alarm frame has 46 (header 14 + body 24 + tag 8)"
    assert short.exit_code == 1
    assert problem("2" + whole[1:]).what == "version nibble is 2; this is Sigap version 1"
    assert "type 10 is reserved" in problem("1a" + whole[2:]).what
    assert "reserved bits of byte 1 are 0x1" in problem("1110" + whole[4:]).what
    wrong_key = problem(whole, "--key", "f" + ROOT[1:])
    assert wrong_key.what == "bad tag: wrong root key, or bytes changed"
    assert "0000a1b2" in wrong_key.todo
    assert problem(":").what == "frame is empty"


def test_a_bad_tag_shows_the_header_as_a_claim() -> None:
    output = decode(ALARM["frame"], "--key", "f" + ROOT[1:]).output
    assert "device:      0000a1b2" in output
    assert "claims" in output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("11zz",), "character 3 is 'z'"),
        (("0x11",), "character 2 is 'x'"),
        (("11 0",), "3 hex digits, an odd number"),
        (("1\N{FULLWIDTH DIGIT ONE}",), "character 2 is"),
        ((ALARM["frame"], "--key", "12"), "--key is 1 byte; a root key is 16"),
        ((ALARM["frame"], "--key", ""), "--key is 0 bytes; a root key is 16"),
        ((ALARM["frame"], "--key", "xy"), "--key: character 1 is 'x'"),
    ],
)
def test_bad_hex_is_wrong_use(arguments: tuple[str, ...], words: str) -> None:
    found = problem(*arguments)
    assert words in found.what
    assert found.exit_code == 2
    result = decode(*arguments, "--json")
    assert result.exit_code == 2
    assert words in json.loads(result.stdout)["error"]["message"]


def test_spaces_and_colons_are_skipped() -> None:
    plain = decode(ALARM["frame"], "--key", ROOT).output
    pairs = [ALARM["frame"][i : i + 2] for i in range(0, len(ALARM["frame"]), 2)]
    key = [ROOT[i : i + 2] for i in range(0, len(ROOT), 2)]
    assert decode(":".join(pairs).upper(), "--key", ":".join(key)).output == plain
    assert decode(" ".join(pairs), "--key", " ".join(key)).output == plain
    assert decode(*pairs, "--key", ROOT).output == plain


def test_help_shows_an_example_that_works() -> None:
    text = decode("--help").output
    words = text.split("sigap frame decode ")[1].replace("\\", " ").split()
    result = decode(*words[: words.index("--key") + 2])
    assert result.exit_code == 0
    assert "receipt" in result.output
    assert unpack_header(bytes.fromhex(words[0])).stage == 1


def test_through_the_real_command_line() -> None:
    """Exit codes and streams as a shell sees them."""

    def sigap(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "sigap.cli", "frame", "decode", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    good = sigap(ALARM["frame"], "--key", ROOT, "--json")
    assert (good.returncode, good.stderr) == (0, "")
    assert json.loads(good.stdout)["alarm"] == "0000a1b2-1"
    bad = sigap(ALARM["frame"], "--key", "f" + ROOT[1:], "--json")
    assert bad.returncode == 1
    assert json.loads(bad.stdout)["error"]["reason"] == "bad-tag"
    short = sigap(ALARM["frame"][:42])
    assert (short.returncode, short.stdout) == (1, "")
    assert short.stderr.startswith("sigap: frame is 21 bytes; an alarm frame has 46")
    assert short.stderr.count("\n") == 1
    assert sigap("zz").returncode == 2
