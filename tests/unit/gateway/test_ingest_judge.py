"""Every reason to refuse a message, and that nothing else comes of any bytes."""

from __future__ import annotations

import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ingest.judge import REASONS, Opened, Presence, Rejection, judge
from gateway.registry.devices import Device
from panic_wire.frames import (
    ALARM,
    ALARM_UPDATE,
    CANCEL,
    HEARTBEAT,
    STATUS,
    TEST,
    Alarm,
    Cancel,
    Header,
    Heartbeat,
    Status,
)
from panic_wire.keys import downlink_key, uplink_key
from panic_wire.seal import seal

ROOT = secrets.token_bytes(16)
DEVICE = Device(0xA1B2, "shop-1", ROOT)
REVOKED = Device(0xA1B3, "shop-2", ROOT, revoked=True)
PHONE = Device(0xA1B4, "phone-0000a1b4", ROOT, kind="phone")
KNOWN = {each.id: each for each in (DEVICE, REVOKED, PHONE)}
UP = "sigap/v1/d/0000a1b2/up"


def sealed(kind: int = ALARM, body: bytes | None = None, device: int = DEVICE.id, key: bytes | None = None):
    body = Alarm(7, age_ms=5).pack() if body is None else body
    return seal(key or uplink_key(ROOT, device), Header(kind, int(kind == STATUS), device, 3, 9), body)


def verdict(payload: bytes, topic: str = UP, size_bytes: int | None = None):
    return judge(topic, payload, KNOWN.get, size_bytes)


@pytest.mark.parametrize("kind", [ALARM, ALARM_UPDATE])
def test_an_authentic_alarm_is_opened(kind: int) -> None:
    opened = verdict(sealed(kind))
    assert isinstance(opened, Opened)
    assert opened.device is DEVICE
    assert opened.header == Header(kind, 0, DEVICE.id, 3, 9)
    assert opened.body == Alarm(7, age_ms=5)


def test_an_authentic_heartbeat_is_opened() -> None:
    opened = verdict(sealed(HEARTBEAT, Heartbeat(uptime_s=60).pack()))
    assert isinstance(opened, Opened)
    assert opened.body == Heartbeat(uptime_s=60)


def test_an_alarm_of_a_revoked_device_is_opened_when_it_is_authentic() -> None:
    topic = "sigap/v1/d/0000a1b3/up"
    for kind, body in ((ALARM, Alarm(7)), (TEST, Alarm(7)), (CANCEL, Cancel(7))):
        opened = verdict(sealed(kind, body.pack(), REVOKED.id), topic)
        assert isinstance(opened, Opened)
        assert (opened.device, opened.body) == (REVOKED, body)
    forged = verdict(sealed(device=REVOKED.id, key=secrets.token_bytes(16)), topic)
    assert isinstance(forged, Rejection)
    assert forged.reason == "bad-tag"


def test_state_is_told_of_known_devices() -> None:
    topic = "sigap/v1/d/0000a1b2/state"
    assert verdict(b"online", topic) == Presence(DEVICE, True)
    assert verdict(b"offline", topic) == Presence(DEVICE, False)
    # The last will of a device that was revoked while it was connected.
    assert verdict(b"offline", "sigap/v1/d/0000a1b3/state") == Presence(REVOKED, False)


def test_every_refusal_has_its_reason() -> None:
    good = sealed()
    refused = {
        "empty": [(b"", UP)],
        "too-short": [(good[:1], UP), (good[:21], UP)],
        "bad-length": [
            (good[:-1], UP),
            (good + b"\0", UP),
            (good[:22], UP),
            (sealed(HEARTBEAT, Heartbeat().pack()) + b"\0", UP),
        ],
        "too-long": [(good + bytes(73), UP), (secrets.token_bytes(256).replace(b"{", b"}"), UP)],
        "not-sigap-v1": [(bytes([good[0] ^ 0x30]) + good[1:], UP), (b"SOS", UP)],
        "json": [(b'{"sos": true}', UP), (b' [1, 2, "' + b"x" * 200, UP)],
        "reserved-type": [(b"\x10" + good[1:], UP), (b"\x1f" + good[1:], UP)],
        "bad-header": [(good[:1] + b"\x10" + good[2:], UP), (good[:1] + b"\x02" + good[2:], UP)],
        "downlink-type": [(sealed(STATUS, Status(7).pack(), key=downlink_key(ROOT, DEVICE.id)), UP)],
        "bad-topic": [
            (good, "sigap/v1/d/0000a1b2/down"),
            (good, "sigap/v1/d/0000A1B2/up"),
            (good, "sigap/v1/d//up"),
            (good, "sigap/v1/d/0000a1b2/up/more"),
        ],
        "bad-state": [
            (b"", "sigap/v1/d/0000a1b2/state"),
            (b"Online", "sigap/v1/d/0000a1b2/state"),
            (good, "sigap/v1/d/0000a1b2/state"),
        ],
        "topic-mismatch": [(good, "sigap/v1/d/0000a1b3/up")],
        "no-phone": [(good, "sigap/v1/p/0000a1b2/up")],
        "unknown-device": [
            (sealed(device=5), "sigap/v1/d/00000005/up"),
            (b"online", "sigap/v1/d/00000005/state"),
        ],
        "revoked-device": [
            (sealed(HEARTBEAT, Heartbeat().pack(), REVOKED.id), "sigap/v1/d/0000a1b3/up"),
            (b"online", "sigap/v1/d/0000a1b3/state"),
        ],
        "bad-tag": [
            *((good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :], UP) for at in (6, 13, 14, 37, 45)),
            (sealed(key=downlink_key(ROOT, DEVICE.id)), UP),
            (sealed(key=secrets.token_bytes(16)), UP),
        ],
    }
    for reason, cases in refused.items():
        for payload, topic in cases:
            said = verdict(payload, topic)
            assert isinstance(said, Rejection), (reason, payload)
            assert said.reason == reason, (payload, said)
            assert said.detail
    by_others = {
        "replayed",
        "poison",
        "bad-body",
    }  # the replay window, the writer; a body of any content is read
    assert refused.keys() | by_others == REASONS.keys()


def test_what_was_cut_by_the_intake_counts_whole() -> None:
    said = verdict(sealed()[:20], size_bytes=1 << 20)
    assert isinstance(said, Rejection)
    assert said.reason == "too-long"


@given(st.binary(max_size=80), st.sampled_from([UP, "sigap/v1/d/0000a1b2/state", "x", ""]))
def test_no_bytes_are_taken_or_raise(payload: bytes, topic: str) -> None:
    said = verdict(payload, topic)
    if not isinstance(said, Presence):
        assert isinstance(said, Rejection)
        assert said.reason in REASONS


@given(st.data())
def test_one_changed_bit_is_refused(data: st.DataObject) -> None:
    good = sealed()
    bit = data.draw(st.integers(0, len(good) * 8 - 1))
    changed = bytearray(good)
    changed[bit // 8] ^= 1 << bit % 8
    assert isinstance(verdict(bytes(changed)), Rejection)
