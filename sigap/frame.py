"""`sigap frame decode`: says in words what a frame says, or exactly why it is none."""

from __future__ import annotations

import json
import sys
from typing import Any, NoReturn

import click

from panic_wire.frames import (
    COMMAND_NAMES,
    CRASH_TEXT,
    GESTURE_NAMES,
    HEADER_BYTES,
    LOCATION,
    REPORT_NAMES,
    RESULT_NAMES,
    SET_TIME,
    STAGE_NAMES,
    STATUS,
    TAG_BYTES,
    TROUBLE_NAMES,
    TYPE_NAMES,
    Alarm,
    Cancel,
    Command,
    FrameError,
    Header,
    Heartbeat,
    Report,
    Status,
    Trouble,
    alarm_id,
    is_downlink,
    unpack_body,
    unpack_header,
)
from panic_wire.keys import downlink_key, uplink_key
from panic_wire.seal import open_frame
from panic_wire.topics import device_name
from sigap.problem import FAILED, USAGE, Problem

_SEPARATORS = " \t\r\n:"
_AGE_CAP_MS = 0xFFFFFFFF
_CAP_16 = 0xFFFE

Body = Alarm | Heartbeat | Status | Cancel | Trouble | Report | Command

STAGE_WORDS = {
    "receipt": "receipt: the gateway has committed it to disk",
    "accepted": "accepted: a police backend has taken the incident",
    "acknowledged": "acknowledged: a human operator has seen it",
    "dispatched": "dispatched: officers are on their way",
    "on_scene": "on scene: they have arrived",
    "closed": "closed: the incident has ended",
}


class _Failure(Problem):
    """What goes into {"error": ...}; `header` is what the clear bytes claim, when they could be read."""

    def __init__(self, reason: str, what: str, todo: str, exit_code: int, header: Header | None = None) -> None:
        super().__init__(what, todo, exit_code)
        self.reason, self.header = reason, header


def parse_hex(text: str, what: str) -> bytes:
    """Bytes from hex digits; spaces and colons between them are skipped. ValueError names the character."""
    digits = []
    for place, character in enumerate(text, 1):
        if character in _SEPARATORS:
            continue
        if character not in "0123456789abcdefABCDEF":
            raise ValueError(f"{what}: character {place} is {character!r}, not a hex digit")
        digits.append(character)
    if len(digits) % 2:
        raise ValueError(f"{what} has {len(digits)} hex digits, an odd number; a byte takes two")
    return bytes.fromhex("".join(digits))


def _read(text: str, key_text: str | None) -> tuple[Header, Body | None]:
    """The header, and the body when a key is given. _Failure for everything that is wrong."""
    try:
        frame = parse_hex(text, "HEX")
        root = parse_hex(key_text, "--key") if key_text is not None else None
    except ValueError as error:
        raise _Failure("bad-hex", str(error), "Give bytes as two hex digits each", USAGE) from error
    if root is not None and len(root) != 16:
        raise _Failure(
            "bad-key",
            f"--key is {len(root)} byte{'s' if len(root) != 1 else ''}; a root key is 16 (32 hex digits)",
            "Take root_key from the button's device.json",
            USAGE,
        )
    try:
        header = unpack_header(frame)
    except FrameError as error:
        todo = "See section 7 of firmware/panic_wire/CONTRACT.md for what a frame must be"
        raise _Failure(error.reason, str(error), todo, FAILED) from error
    if root is None:
        return header, None
    key = (downlink_key if is_downlink(header.type) else uplink_key)(root, header.device)
    try:
        _, body = open_frame(key, frame)
    except FrameError as error:
        todo = f"Check that the key is that of device {device_name(header.device)} and that no byte is missing"
        raise _Failure(error.reason, str(error), todo, FAILED, header) from error
    return header, unpack_body(header.type, body)


def _header_json(header: Header) -> dict[str, Any]:
    return {
        "type": TYPE_NAMES[header.type].replace(" ", "_"),
        "stage": STAGE_NAMES.get(header.stage),
        "device": device_name(header.device),
        "epoch": header.epoch,
        "counter": header.counter,
    }


def _document(header: Header, body: Body | None) -> dict[str, Any]:
    document = _header_json(header) | {"authentic": None if body is None else True, "body": None}
    if body is None:
        return document
    fields: dict[str, Any] = body.to_dict()
    if isinstance(body, Heartbeat):
        fields["firmware"] = ".".join(str(part) for part in body.firmware)
    elif isinstance(body, Report | Command):
        fields["content"] = body.content.hex()
    elif isinstance(body, Alarm | Status | Cancel) and body.activation:
        document["alarm"] = alarm_id(header.device, body.activation)
    document["body"] = fields
    return document


def _duration(ms: int) -> str:
    if ms < 60_000:
        return f"{ms / 1000:.3f}".rstrip("0").rstrip(".") + " s"
    seconds = ms // 1000
    days, seconds = divmod(seconds, 86_400)
    hours, seconds = divmod(seconds, 3600)
    minutes, seconds = divmod(seconds, 60)
    parts = ((days, "d"), (hours, "h"), (minutes, "min"), (seconds, "s"))
    return " ".join(f"{number} {unit}" for number, unit in parts if number)


def _age(alarm: Alarm) -> str:
    minimum = alarm.age_is_minimum or alarm.age_ms == _AGE_CAP_MS
    why = " (power was lost since the press)" if alarm.age_is_minimum else ""
    return f"{'at least ' if minimum else ''}{_duration(alarm.age_ms)} before sealing{why}"


def _position(alarm: Alarm) -> str:
    if alarm.lat_e7 is None or alarm.lon_e7 is None:
        return "fixed site, its place is in the registry" if alarm.fixed_site else "no fix"
    where = f"{alarm.lat_e7 / 1e7:.7f}, {alarm.lon_e7 / 1e7:.7f}"
    accuracy = "accuracy unknown"
    if alarm.accuracy_m is not None:
        accuracy = f"accuracy {'at least ' if alarm.accuracy_m == _CAP_16 else ''}{alarm.accuracy_m} m"
    age = "age of the fix unknown"
    if alarm.fix_age_s is not None:
        age = f"fix {'at least ' if alarm.fix_age_s == _CAP_16 else ''}{_duration(alarm.fix_age_s * 1000)} old"
    return f"{where} ({accuracy}, {age})"


def _flags(record: Alarm | Heartbeat | Cancel, names: dict[str, str]) -> str:
    return ", ".join(words for name, words in names.items() if getattr(record, name)) or "none"


def _battery(mv: int) -> str:
    return f"{mv / 1000:.3f} V" if mv else "mains or unknown"


def _alarm_lines(header: Header, alarm: Alarm) -> list[tuple[str, str]]:
    flags = {
        "silent": "silent",
        "fixed_site": "fixed site",
        "age_is_minimum": "age is a minimum",
        "repeated": "repeated",
        "moved": "moved from where it was mounted",
        "doubtful": "the newest position is doubtful",
    }
    gesture = GESTURE_NAMES.get(alarm.gesture, f"unknown (number {alarm.gesture})")
    return [
        ("alarm", alarm_id(header.device, alarm.activation)),
        ("gesture", gesture),
        ("pressed", _age(alarm)),
        ("position", _position(alarm)),
        ("flags", _flags(alarm, flags)),
        ("battery", _battery(alarm.battery_mv)),
    ]


def _heartbeat_lines(beat: Heartbeat) -> list[tuple[str, str]]:
    flags = {
        "silent": "silent",
        "fixed_site": "fixed site",
        "has_fix": "GPS has a fix",
        "clock_known": "clock is known",
        "test_mode": "test mode",
    }
    return [
        ("uptime", _duration(beat.uptime_s * 1000)),
        ("battery", _battery(beat.battery_mv)),
        ("WiFi", f"{beat.rssi_dbm} dBm" if beat.rssi_dbm else "strength unknown"),
        ("flags", _flags(beat, flags)),
        ("firmware", ".".join(str(part) for part in beat.firmware)),
        ("reset cause", str(beat.reset_cause) if beat.reset_cause else "unknown"),
        ("open alarms", str(beat.open_alarms)),
        ("lost edges", str(beat.lost_edges)),
    ]


def _named(names: dict[int, str], number: int) -> str:
    return names.get(number, f"unknown (number {number})").replace("_", " ")


def _report_lines(report: Report) -> list[tuple[str, str]]:
    lines = [("report", _named(REPORT_NAMES, report.kind))]
    if report.kind == CRASH_TEXT:
        return [*lines, ("part", str(report.code)), ("text", report.text())]
    lines += [("answers", f"command {report.ref}"), ("result", _named(RESULT_NAMES, report.code))]
    if report.kind != LOCATION:
        return [*lines, ("text", report.text() or "none")]
    where = report.position()
    if where is None:
        return [*lines, ("position", "no fix")]
    lat, lon, accuracy, fix_age = where
    return [*lines, ("position", _position(Alarm(0, lat_e7=lat, lon_e7=lon, accuracy_m=accuracy, fix_age_s=fix_age)))]


def _lines(header: Header, body: Body | None) -> list[tuple[str, str]]:
    lines = [("type", f"{TYPE_NAMES[header.type]} ({'down' if is_downlink(header.type) else 'up'})")]
    if header.type == STATUS:
        lines.append(("stage", STAGE_WORDS[STAGE_NAMES[header.stage]]))
    lines += [
        ("device", device_name(header.device)),
        ("epoch", f"{header.epoch:08x}"),
        ("counter", str(header.counter)),
    ]
    if isinstance(body, Alarm):
        lines += _alarm_lines(header, body)
    elif isinstance(body, Heartbeat):
        lines += _heartbeat_lines(body)
    elif isinstance(body, Status):
        about = (
            alarm_id(header.device, body.activation)
            if body.activation
            else "none: answers a heartbeat, trouble or report"
        )
        lines.append(("alarm", about))
    elif isinstance(body, Cancel):
        lines += [
            ("alarm", alarm_id(header.device, body.activation)),
            ("cancelled", f"{_duration(body.age_ms)} before sealing"),
            ("flags", _flags(body, {"duress": "under duress", "repeated": "repeated"})),
        ]
    elif isinstance(body, Trouble):
        lines += [
            ("trouble", f"{_named(TROUBLE_NAMES, body.kind)}, {'ended' if body.ended else 'began'}"),
            ("since", f"{_duration(body.age_s * 1000)} before sealing"),
            ("value", str(body.value)),
        ]
    elif isinstance(body, Report):
        lines += _report_lines(body)
    elif isinstance(body, Command):
        content = body.content.hex() if body.code == SET_TIME else body.content.decode("utf-8", "replace")
        lines += [("command", _named(COMMAND_NAMES, body.code)), ("content", content or "none")]
    return lines


def _print_lines(header: Header, body: Body | None) -> None:
    for label, value in _lines(header, body):
        click.echo(f"{label + ':':<13}{value}")


def _fail(failure: _Failure, as_json: bool) -> NoReturn:
    if as_json:
        error: dict[str, Any] = {"reason": failure.reason, "message": failure.what}
        if failure.header is not None:
            error["claims"] = _header_json(failure.header)
        click.echo(json.dumps({"error": error}))
        sys.exit(failure.exit_code)
    if failure.header is not None:
        _print_lines(failure.header, None)
        click.echo("These are claims of the clear header; nothing proves them.")
    raise failure


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def frame() -> None:
    """Look into the sealed frames that buttons and the gateway exchange."""


@frame.command()
@click.argument("hex_text", metavar="HEX...", nargs=-1, required=True)
@click.option("--key", metavar="ROOTKEYHEX", help="The device's root key, 32 hex digits: opens the sealed body.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def decode(hex_text: tuple[str, ...], key: str | None, as_json: bool) -> None:
    """Say what the frame HEX says. Spaces and colons in HEX are skipped.

    Without --key only the clear header is shown, and nothing proves it. Exit code 1: not a frame, or a wrong
    key; 2: HEX or ROOTKEYHEX is not hex.

    \b
    mosquitto_sub -t 'sigap/v1/d/+/up' -F %x        shows frames as hex
    sigap frame decode 18010000a1b25e1f00d500000040bdbe7551b9027fc11c8510ba \\
        --key 000102030405060708090a0b0c0d0e0f
    """
    try:
        header, body = _read(" ".join(hex_text), key)
    except _Failure as failure:
        _fail(failure, as_json)
    if as_json:
        click.echo(json.dumps(_document(header, body)))
        return
    _print_lines(header, body)
    if body is None:
        size = f"{HEADER_BYTES}-byte header is clear, its last {TAG_BYTES} bytes are the tag"
        click.echo(f"The body is sealed (the {size}), and without the key nothing is proved.")
        click.echo("Open it with --key ROOTKEYHEX, the device's root_key (32 hex digits).")
