"""CONTRACT.md says what the code does: its tables, its topics and its worked frame, read from the page."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import panic_wire
from gateway.ingest.judge import REASONS
from panic_wire import frames, topics
from panic_wire.ccm import ccm_seal
from panic_wire.frames import Alarm, Header, Status
from panic_wire.keys import SALT, broker_password, downlink_key, uplink_key
from panic_wire.seal import nonce, open_frame, seal

PAGE = (Path(panic_wire.__file__).parent / "CONTRACT.md").read_text(encoding="utf-8")
# What a table of section 2 lists by number, or by bit, beside the bytes.
NUMBERED = {*frames.STAGE_NAMES.values(), *frames.TROUBLE_NAMES.values(), *frames.COMMAND_NAMES.values(), *Alarm.FLAGS}
SLUGS = (
    "empty",
    "not-sigap-v1",
    "reserved-type",
    "too-short",
    "too-long",
    "bad-length",
    "bad-header",
    "bad-tag",
    "bad-body",
)


def section(number: int) -> str:
    found = re.search(rf"^## {number}\. .*?(?=^## |\Z)", PAGE, re.M | re.S)
    assert found, f"CONTRACT.md has no section {number}"
    return found.group()


def rows(text: str) -> list[list[str]]:
    """The cells of every table row in the text, header rows and rules included."""
    found = (line for line in text.splitlines() if line.startswith("|"))
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in found]


def worked(name: str) -> bytes:
    found = re.findall(rf"^{name} +([0-9a-f]+)$", PAGE, re.M)
    assert len(found) == 1, f"{name} stands {len(found)} times on the page"
    return bytes.fromhex(found[0])


def test_types() -> None:
    table = [row for row in rows(section(1)) if len(row) == 5 and row[0].isdigit()]
    assert {int(row[0]): row[1] for row in table} == frames.TYPE_NAMES
    for number, _, direction, body, whole in table:
        assert (direction == "down") == frames.is_downlink(int(number))
        if body == "reserved":
            assert int(number) not in frames.BODY_BYTES
            continue
        assert int(body) == frames.BODY_BYTES[int(number)]
        assert int(whole) == int(body) + frames.HEADER_BYTES + frames.TAG_BYTES
    assert f"{frames.MAX_FRAME_BYTES} bytes at most" in section(1)


def test_stages() -> None:
    table = [row for row in rows(section(2)) if len(row) == 3 and row[1] in frames.STAGE_NAMES.values()]
    assert {int(row[0]): row[1] for row in table} == frames.STAGE_NAMES


@pytest.mark.parametrize("names", [frames.TROUBLE_NAMES, frames.COMMAND_NAMES])
def test_kinds_of_trouble_and_commands(names: dict[int, str]) -> None:
    table = [row for row in rows(section(2)) if len(row) == 3 and row[1] in names.values()]
    assert {int(row[0]): row[1] for row in table} == names


def test_kinds_of_report() -> None:
    for number, name in frames.REPORT_NAMES.items():
        assert f"{number} {name}" in section(2)
    for number, name in frames.RESULT_NAMES.items():
        assert f"{number} {name}" in section(2)


def test_flags_of_an_alarm() -> None:
    found = re.search(r"^### Alarm .*?(?=^### )", PAGE, re.M | re.S)
    assert found
    table = {row[1]: int(row[0], 16) for row in rows(found.group()) if re.fullmatch("[0-9]{2}", row[0])}
    fields = {"silent": "silent", "fixed site": "fixed_site", "age is a minimum": "age_is_minimum"}
    fields |= {name: name for name in ("repeated", "moved", "doubtful")}
    assert set(table) == set(fields)
    for words, name in fields.items():
        assert Alarm(1, **{name: True}).pack()[5] == table[words]


@pytest.mark.parametrize(
    ("heading", "size"),
    [
        ("Alarm", 24),
        ("Heartbeat", 14),
        ("Cancel", 9),
        ("Trouble", 10),
        ("Report", 96),
        ("Command", 96),
        ("Status", 4),
    ],
)
def test_the_bytes_of_a_body_are_all_described_once(heading: str, size: int) -> None:
    found = re.search(rf"^### {heading} .*?(?=^###? |\Z)", PAGE, re.M | re.S)
    assert found
    covered: list[int] = []
    for row in rows(found.group()):
        if len(row) != 3 or not re.fullmatch(r"[0-9]+( to [0-9]+|(, [0-9]+)*)", row[0]) or re.match("0[0-9]", row[0]):
            continue
        if row[1] in NUMBERED:
            continue
        ends = [int(n) for n in re.findall("[0-9]+", row[0])]
        covered += range(ends[0], ends[-1] + 1)
    assert covered == list(range(size))


def test_topics() -> None:
    table = {row[0] for row in rows(section(6)) if row[0].startswith("sigap/")}
    name = "0000a1b2"
    ours = {topics.up(name), topics.down(name), topics.state(name)}
    assert {topic.replace("<device>", name) for topic in table} == ours
    assert all(topics.parse(topic) for topic in ours)
    for subscription in (topics.ALL_UP, topics.ALL_STATE):
        assert f"`{subscription}`" in section(6)
    for payload in (topics.ONLINE, topics.OFFLINE):
        assert f"`{payload.decode()}`" in section(6)


def test_reasons() -> None:
    listed = [row[0] for row in rows(section(7)) if row[0] in SLUGS or "-" in row[0].strip("-")]
    assert tuple(listed) == SLUGS
    assert set(SLUGS) <= set(REASONS), "the gateway's quarantine explains every slug of the contract"
    code = "".join(path.read_text(encoding="utf-8") for path in Path(panic_wire.__file__).parent.glob("*.py"))
    for slug in SLUGS:
        assert f'"{slug}"' in code


def test_worked_keys() -> None:
    root, device = worked("root key"), 0x0000A1B2
    assert uplink_key(root, device) == worked("uplink key")
    assert downlink_key(root, device) == worked("downlink key")
    assert broker_password(root, device) == worked("broker password").hex()
    assert f"`{SALT.decode()}`" in section(3)
    for label in (b"uplink", b"downlink", b"broker"):
        assert f"`{(label + bytes.fromhex('0000a1b2')).hex()}`" in section(9)


def test_worked_frame() -> None:
    header = Header(frames.ALARM, 0, 0x0000A1B2, 0x5E1F00D5, 64)
    body = Alarm(1, age_ms=1234, lat_e7=-69932000, lon_e7=1104203000, accuracy_m=5, fix_age_s=2, battery_mv=3987).pack()
    assert header.pack() == worked("header")
    assert nonce(header) == worked("nonce")
    assert body == worked("body")
    sealed = ccm_seal(worked("uplink key"), worked("nonce"), worked("header"), worked("body"))
    assert sealed == worked("ciphertext") + worked("tag")
    assert seal(worked("uplink key"), header, body) == worked("frame")
    assert worked("header") + worked("ciphertext") + worked("tag") == worked("frame")
    assert open_frame(worked("uplink key"), worked("frame")) == (header, body)


def test_worked_frame_byte_by_byte() -> None:
    """The lines with a meaning beside them, joined, are the header and the body."""
    pieces = re.findall(r"^([0-9a-f]{2,8}) {8,}\S.*$", section(9), re.M)
    assert bytes.fromhex("".join(pieces)) == worked("header") + worked("body")


def test_worked_receipt() -> None:
    header = Header(frames.STATUS, frames.RECEIPT, 0x0000A1B2, 0x5E1F00D5, 64)
    assert nonce(header)[0] == 0x81
    assert seal(worked("downlink key"), header, Status(1).pack()) == worked("receipt")


def test_worked_numbers_are_those_of_the_independent_encoder() -> None:
    generator = Path(__file__).with_name("make_vectors.py")
    command = [sys.executable, str(generator), "--worked"]
    printed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    for line in printed.splitlines():
        assert worked(line[:16].strip()).hex() == line[16:]


def test_forgery_odds() -> None:
    for per_second, odds in ((1000, "1.7e-9"), (16, "2.7e-11")):
        assert per_second * 365 * 86_400 / 2**64 == pytest.approx(float(odds), rel=0.02)
        assert odds in section(3)
