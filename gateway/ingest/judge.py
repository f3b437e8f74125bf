"""What a message is: an opened frame, a device's state, or something to refuse, with the reason. Pure.

Reasons are stable slugs; those of a frame's form are the contract's own (panic_wire/CONTRACT.md).
A refusal has no consequence but its count: whoever guesses at tags locks nobody out.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

from gateway.ingest import phone
from gateway.ingest.hearing import Hearing, hearing
from gateway.registry.devices import PHONE
from panic_wire import topics
from panic_wire.compact_open import is_compact, open_compact, unpack_head
from panic_wire.compact_open import unpack_body as unpack_compact_body
from panic_wire.frames import (
    ALARM,
    ALARM_UPDATE,
    CANCEL,
    MAX_FRAME_BYTES,
    TEST,
    TYPE_NAMES,
    Alarm,
    Cancel,
    FrameError,
    Header,
    Heartbeat,
    Report,
    Trouble,
    is_downlink,
    unpack_body,
    unpack_header,
)
from panic_wire.keys import downlink_key, uplink_key
from panic_wire.seal import open_frame

REASONS = {
    "empty": "an empty payload",
    "too-short": "cut off: shorter than any frame",
    "bad-length": "not as long as its type says: cut off, or grown",
    "too-long": "longer than any frame",
    "not-sigap-v1": "another version of the contract, or noise",
    "json": "text, where a sealed frame belongs",
    "no-phone": "a phone's message, of what is no phone",
    "reserved-type": "a type that this version does not read",
    "bad-header": "reserved bits are set, or a stage where none belongs",
    "downlink-type": "a frame that only a gateway sends",
    "bad-topic": "a topic outside the contract",
    "bad-state": "neither online nor offline",
    "topic-mismatch": "another device's frame in this device's topic",
    "unknown-device": "a device that is not in the registry",
    "revoked-device": "a device that was revoked, and no alarm",
    "bad-tag": "forged, changed on its way, or sealed with another key",
    "bad-body": "authentic, but its body cannot be read",
    "replayed": "an authentic frame that was here before",
    "poison": "a fault of the gateway's own; the log has the traceback",
}


# Taken of a revoked device too, and shown as its: whoever pressed it may be in danger. The book keeps them inside.
OF_PERSONS = (ALARM, ALARM_UPDATE, CANCEL, TEST)


class Known(Protocol):
    """What is asked of a device here; gateway.registry.devices.Device is one."""

    @property
    def id(self) -> int: ...
    @property
    def root_key(self) -> bytes: ...
    @property
    def kind(self) -> str: ...
    @property
    def revoked(self) -> bool: ...


D = TypeVar("D", bound=Known)


@dataclass(frozen=True, slots=True)
class Opened(Generic[D]):
    """An authentic frame; whether it was here before is for the replay window to say."""

    device: D
    header: Header
    body: Alarm | Cancel | Heartbeat | Trouble | Report
    hearing: Hearing | None = None  # where it came by way of a base station


@dataclass(frozen=True, slots=True)
class Presence(Generic[D]):
    """The retained `state` of a device, as the broker tells it (online, or offline by last will)."""

    device: D
    online: bool


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a message goes to quarantine: a slug of REASONS, and a sentence."""

    reason: str
    detail: str


# 500,000 devices at 16 bytes a key would be small too, but those that talk at one time are far fewer.
uplink_key_of = functools.lru_cache(maxsize=32_768)(uplink_key)
downlink_key_of = functools.lru_cache(maxsize=32_768)(downlink_key)


class Memory(Protocol):
    """What of a device's past makes a compact frame whole."""

    def seen(self, device_id: int) -> Sequence[tuple[int, int]]:
        """[(epoch, greatest counter)], the newest epoch first."""
        ...

    def newest_activation(self, device_id: int, epoch: int) -> int:
        """The greatest of an epoch; when there is none, where those of a new epoch begin."""
        ...


def judge(
    topic: str,
    payload: bytes,
    look_up: Callable[[int], D | None],
    size_bytes: int | None = None,
    memory: Memory | None = None,
) -> Opened[D] | Presence[D] | Rejection:
    """Judge one message. look_up: device id -> device or None. size_bytes: when `payload` is only its
    beginning. memory: without it a compact frame is a type that is not read."""
    parsed = topics.parse(topic)
    if parsed is None or parsed[2] == "down":
        return Rejection("bad-topic", f"{topic[:100]!r} is not a device's uplink")
    whose, name, kind = parsed
    if whose == "b":
        return _judge_heard(hearing(topics.device_id(name), payload), look_up, memory)
    if whose == "p":
        return _judge_phone(name, payload, look_up, size_bytes)
    if kind == "state":
        return _judge_state(topics.device_id(name), payload, look_up)
    size = len(payload) if size_bytes is None else size_bytes
    if size > MAX_FRAME_BYTES or _is_text(payload):
        if _is_text(payload):
            return Rejection("json", f"{size} bytes of text; a button sends sealed frames")
        return Rejection("too-long", f"{size} bytes; a frame has at most {MAX_FRAME_BYTES}")
    try:
        header = unpack_header(payload)
    except FrameError as error:
        return Rejection(error.reason, str(error))
    refused = _judge_header(header, name)
    if refused is not None:
        return refused
    device = look_up(header.device)
    refused = _judge_device(device, header.device)
    if device is None or (refused is not None and header.type not in OF_PERSONS):
        return refused or Rejection("unknown-device", name)
    return _open(device, header, payload)


def _judge_heard(
    heard: Hearing | None, look_up: Callable[[int], D | None], memory: Memory | None
) -> Opened[D] | Rejection:
    """A frame that a base station passed on: of any device, full or compact."""
    if heard is None:
        return Rejection("too-short", "a base station's message without a frame")
    frame = heard.frame
    if len(frame) > MAX_FRAME_BYTES:
        return Rejection("too-long", f"{len(frame)} bytes; a frame has at most {MAX_FRAME_BYTES}")
    compact = is_compact(frame) and memory is not None
    try:
        header = unpack_header(frame) if not compact else None
        kind, device_id = (header.type, header.device) if header else unpack_head(frame)[:2]
    except FrameError as error:
        return Rejection(error.reason, str(error))
    if is_downlink(kind):
        return Rejection("downlink-type", f"a {TYPE_NAMES[kind]} frame, which only a gateway sends")
    device = look_up(device_id)
    refused = _judge_device(device, device_id)
    if device is None or (refused is not None and kind not in OF_PERSONS):
        return refused or Rejection("unknown-device", topics.device_name(device_id))
    if header is not None or memory is None:
        opened = _open(device, header or unpack_header(frame), frame)
    else:
        opened = _open_compact(device, frame, memory)
    return opened if isinstance(opened, Rejection) else replace(opened, hearing=heard)


def _open_compact(device: D, frame: bytes, memory: Memory) -> Opened[D] | Rejection:
    try:
        header, body = open_compact(uplink_key_of(device.root_key, device.id), frame, memory.seen(device.id))
        activation = memory.newest_activation(device.id, header.epoch)
        return Opened(device, header, unpack_compact_body(header.type, body, activation))
    except FrameError as error:
        return Rejection(error.reason, str(error))


def _judge_phone(
    name: str, payload: bytes, look_up: Callable[[int], D | None], size_bytes: int | None
) -> Opened[D] | Rejection:
    """A phone's JWS. Its keys are made of its root key alone, so that a button's frame is none, nor the reverse."""
    size = len(payload) if size_bytes is None else size_bytes
    if not payload or size > phone.MOST_BYTES:
        said = f"{size} bytes; a phone's message has at most {phone.MOST_BYTES}"
        return Rejection("too-long" if size else "empty", said)
    device_id = topics.device_id(name)
    device = look_up(device_id)
    refused = _judge_device(device, device_id)
    if device is None:
        return refused or Rejection("unknown-device", name)
    if device.kind != PHONE:
        return Rejection("no-phone", f"{name} is a {device.kind}")
    try:
        header, body = phone.unpack(name, payload, phone.mac_key(device.root_key, device.id, "up"))
    except FrameError as error:
        return Rejection(error.reason, str(error))
    if refused is not None and header.type not in OF_PERSONS:
        return refused
    return Opened(device, header, body)


def _judge_header(header: Header, name: str) -> Rejection | None:
    said = TYPE_NAMES[header.type]
    if is_downlink(header.type):
        return Rejection("downlink-type", f"a {said} frame, which only a gateway sends")
    if topics.device_name(header.device) != name:
        return Rejection(
            "topic-mismatch", f"the frame is from {topics.device_name(header.device)}, the topic is of {name}"
        )
    return None


def _judge_device(device: Known | None, device_id: int) -> Rejection | None:
    if device is None:
        return Rejection("unknown-device", f"no device {topics.device_name(device_id)} is registered")
    if device.revoked:
        return Rejection("revoked-device", f"the device {topics.device_name(device_id)} was revoked")
    return None


def _open(device: D, header: Header, payload: bytes) -> Opened[D] | Rejection:
    try:
        _, body = open_frame(uplink_key_of(device.root_key, device.id), payload)
        return Opened(device, header, unpack_body(header.type, body))
    except FrameError as error:
        return Rejection(error.reason, str(error))


def _judge_state(device_id: int, payload: bytes, look_up: Callable[[int], D | None]) -> Presence[D] | Rejection:
    if payload not in (topics.ONLINE, topics.OFFLINE):
        return Rejection("bad-state", f"state {payload[:40]!r} is neither online nor offline")
    device = look_up(device_id)
    if device is not None and payload == topics.OFFLINE:
        return Presence(device, False)  # the last will of a device that was revoked meanwhile, too
    refused = _judge_device(device, device_id)
    if refused is not None or device is None:
        return refused or Rejection("unknown-device", "")
    return Presence(device, True)


def _is_text(payload: bytes) -> bool:
    """JSON, by its beginning. A frame of a later version could begin with these bytes, but not go on as
    text."""
    beginning = payload.lstrip()[:64]
    if not beginning.startswith((b"{", b"[", b'"')):
        return False
    return all(byte in b"\t\r\n" or 32 <= byte < 127 or byte >= 128 for byte in beginning)
