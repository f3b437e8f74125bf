"""Phones' messages, made with cryptography and the standard library alone (RFC 7515, 7518), to test clients with."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

from wire_encoder import DEVICE, OTHER_ROOT, ROOT, derive

HEADER = {"alg": "HS256"}
POSITION = {"lat": -6.9932, "lon": 110.4203, "accuracy_m": 12, "age_s": 3}
NAME = f"{DEVICE:08x}"
BASE = {"v": 1, "phone": NAME, "epoch": 2271560481}
MESSAGES = {
    "alarm": {
        "type": "alarm",
        "counter": 1,
        "activation": 1,
        "age_ms": 40,
        "position": POSITION,
        "battery_percent": 71,
    },
    "alarm without a position": {"type": "alarm", "counter": 2, "activation": 1, "age_ms": 1540, "repeated": True},
    "silent alarm": {"type": "alarm", "counter": 3, "activation": 2, "silent": True},
    "update": {"type": "update", "counter": 4, "activation": 1, "age_ms": 9000, "position": POSITION},
    "test": {"type": "test", "counter": 5, "activation": 3},
    "cancel": {"type": "cancel", "counter": 6, "activation": 1, "age_ms": 100},
    "cancel under duress": {"type": "cancel", "counter": 7, "activation": 2, "duress": True},
    "heartbeat": {"type": "heartbeat", "counter": 8, "battery_percent": 70},
    "a member of a later version": {"type": "alarm", "counter": 9, "activation": 4, "mood": "calm"},
}
BAD = {
    "no type": ("bad-body", {"counter": 10}),
    "another type": ("bad-body", {"type": "sos", "counter": 10, "activation": 1}),
    "a counter of zero": ("bad-body", {"type": "alarm", "counter": 0, "activation": 1}),
    "off the globe": ("bad-body", {"type": "alarm", "counter": 10, "activation": 1, "position": {"lat": 91, "lon": 0}}),
    "another phone": ("topic-mismatch", {"type": "alarm", "counter": 10, "activation": 1, "phone": "0000a1b3"}),
}
STAGES = ("receipt", "accepted", "acknowledged", "dispatched", "on_scene", "closed")


def build() -> str:
    """The file's text."""
    up, down = derive(ROOT, b"phone up", DEVICE, 32), derive(ROOT, b"phone down", DEVICE, 32)
    good = [{"name": name, "message": BASE | said, "jws": jws(up, BASE | said)} for name, said in MESSAGES.items()]
    bad = [{"name": name, "reason": reason, "jws": jws(up, BASE | said)} for name, (reason, said) in BAD.items()]
    alarm = BASE | MESSAGES["alarm"]
    bad += [
        {"name": "another key", "reason": "bad-tag", "jws": jws(derive(OTHER_ROOT, b"phone up", DEVICE, 32), alarm)},
        {"name": "the key that is for down", "reason": "bad-tag", "jws": jws(down, alarm)},
        {"name": "alg none", "reason": "bad-tag", "jws": jws(up, alarm, {"alg": "none"}).rpartition(".")[0] + "."},
        {"name": "another header", "reason": "bad-header", "jws": jws(up, alarm, {"alg": "HS256", "typ": "JWT"})},
        {"name": "a changed payload", "reason": "bad-tag", "jws": _changed(jws(up, alarm))},
    ]
    statuses = [
        {"v": 1, "type": "status", "phone": NAME, "epoch": BASE["epoch"], "counter": 1, "stage": each, "activation": 1}
        for each in STAGES
    ]
    document = {
        "about": "Test vectors of phones' messages (CONTRACT.md, section 12), made by tests/contract/make_vectors.py. "
        "Keys are hex. bad: must be refused, with the reason.",
        "version": 1,
        "root_key": ROOT.hex(),
        "phone": NAME,
        "up_key": up.hex(),
        "down_key": down.hex(),
        "broker_password": derive(ROOT, b"broker", DEVICE).hex(),
        "messages": good,
        "bad": bad,
        "statuses": [{"message": each, "jws": jws(down, each)} for each in statuses],
    }
    return json.dumps(document, indent=1) + "\n"


def jws(key: bytes, message: dict, header: dict | None = None) -> str:
    """RFC 7515, 5.1, compact."""
    text = ".".join(_encoded(_json(each)) for each in (header or HEADER, message))
    return f"{text}.{_encoded(hmac.new(key, text.encode(), hashlib.sha256).digest())}"


def _changed(text: str) -> str:
    header, payload, mac = text.split(".")
    return ".".join((header, payload[:-1] + ("A" if payload[-1] != "A" else "B"), mac))


def _json(value: dict) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
