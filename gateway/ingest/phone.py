"""A phone's messages: the contract's bodies as JSON, in a JWS (CONTRACT.md, section 12). Pure.

Both ways a message is a JWS Compact Serialization (RFC 7515, 7.1) with the protected header {"alg":"HS256"} and no
other, under a key that HKDF makes of the phone's root key. So whatever carries it, MQTT or HTTPS, can neither change
nor invent one.
"""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import hmac
import json
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from panic_wire import topics
from panic_wire.frames import ALARM, ALARM_UPDATE, CANCEL, HEARTBEAT, TEST, Alarm, Cancel, FrameError, Header, Heartbeat
from panic_wire.keys import SALT, hkdf_sha256
from panic_wire.words import STAGE_NAMES

MOST_BYTES = 1024
MAC_KEY_BYTES = 32
HEADER = base64.urlsafe_b64encode(b'{"alg":"HS256"}').rstrip(b"=")
TYPES = {"alarm": ALARM, "update": ALARM_UPDATE, "test": TEST, "cancel": CANCEL, "heartbeat": HEARTBEAT}

U32 = Annotated[int, Field(ge=0, le=0xFFFFFFFF, strict=True)]
Counter = Annotated[int, Field(ge=1, le=0xFFFFFFFF, strict=True)]
Name = Annotated[str, Field(pattern=r"^[0-9a-f]{8}$", description="A phone: eight hex digits")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore")  # members may be added to the contract


class PhonePosition(_Part):
    """Where the phone is, by its own account (W3C Geolocation, section 9)."""

    lat: float = Field(ge=-90, le=90, allow_inf_nan=False, description="Degrees north, WGS 84")
    lon: float = Field(ge=-180, le=180, allow_inf_nan=False, description="Degrees east, WGS 84")
    accuracy_m: float | None = Field(default=None, ge=0, description="Radius of 95 % confidence, in metres")
    age_s: float | None = Field(default=None, ge=0, description="How old this position is, as of now")


class PhoneMessage(_Part):
    """What a phone sends. Every retry is a new message: counter, age and what is known are as of now."""

    v: Literal[1] = Field(description="The contract's version")
    type: Literal["alarm", "update", "test", "cancel", "heartbeat"]
    phone: Name
    epoch: U32 = Field(description="Drawn when the phone begins to count; another when it has lost its counter")
    counter: Counter = Field(description="Each message has a greater one; kept before the message leaves")
    activation: U32 = Field(default=0, description="Which alarm; greater by one for each three taps. 0: of none")
    age_ms: U32 = Field(default=0, description="Since the third tap (or the cancel), as of this message")
    age_is_minimum: bool = Field(default=False, description="It may be older: the clock was set meanwhile")
    silent: bool = Field(default=False, description="The phone shows and sounds nothing")
    repeated: bool = Field(default=False, description="Said before, and not answered yet")
    position: PhonePosition | None = None
    battery_percent: int | None = Field(default=None, ge=0, le=100)
    duress: bool = Field(default=False, description="Of a cancel: somebody made the person do it")


class PhoneStatus(_Part):
    """What a phone is answered: that its message is safe, or how far its alarm has come."""

    v: Literal[1] = 1
    type: Literal["status"] = "status"
    phone: Name
    epoch: U32 = Field(description="Of the message that it answers")
    counter: U32 = Field(description="Of the message that it answers")
    stage: Literal["receipt", "accepted", "acknowledged", "dispatched", "on_scene", "closed"]
    activation: U32 = 0


@functools.lru_cache(maxsize=32_768)
def mac_key(root_key: bytes, phone: int, way: str) -> bytes:
    """The 32-byte key of the HMAC "up" or "down". root_key: 16 bytes. RFC 5869 with the info "phone up" or "phone
    down" and the id, four bytes."""
    return hkdf_sha256(root_key, SALT, f"phone {way}".encode() + phone.to_bytes(4, "big"), MAC_KEY_BYTES)


def signed(key: bytes, payload: bytes) -> bytes:
    """The JWS of a payload."""
    text = HEADER + b"." + _encoded(payload)
    return text + b"." + _encoded(hmac.digest(key, text, hashlib.sha256))


def opened(key: bytes, jws: bytes) -> bytes:
    """The payload of a JWS; FrameError "bad-tag" when this key did not sign it."""
    text, _, mac = jws.rpartition(b".")
    if not hmac.compare_digest(_encoded(hmac.digest(key, text, hashlib.sha256)), mac):
        raise FrameError("bad-tag", "not signed by this phone's key")
    header, _, payload = text.partition(b".")
    if header != HEADER:  # no other algorithm is read, so that nobody can choose one
        raise FrameError("bad-header", 'the protected header is not {"alg":"HS256"}')
    return _decoded(payload)


def unpack(name: str, jws: bytes, key: bytes) -> tuple[Header, Alarm | Cancel | Heartbeat]:
    """An authentic message of the phone `name`; FrameError with the reason otherwise."""
    payload = opened(key, jws)
    try:
        message = PhoneMessage.model_validate_json(payload)
    except ValidationError as error:
        raise FrameError("bad-body", _first(error)) from error
    if message.phone != name:
        raise FrameError("topic-mismatch", f"the message is from {message.phone}, the topic is of {name}")
    header = Header(TYPES[message.type], 0, topics.device_id(name), message.epoch, message.counter)
    if header.type == HEARTBEAT:
        return header, Heartbeat(silent=message.silent, has_fix=message.position is not None, clock_known=True)
    if header.type == CANCEL:
        return header, Cancel(message.activation, message.age_ms, message.duress, message.repeated)
    return header, _alarm(message)


def asks_to_be_forgotten(name: str, jws: bytes, key: bytes) -> bool:
    """Whether the phone `name` signed {"v": 1, "type": "forget", "phone": its name}."""
    try:
        said = json.loads(opened(key, jws))
    except (FrameError, ValueError):
        return False
    return isinstance(said, dict) and (said.get("v"), said.get("type"), said.get("phone")) == (1, "forget", name)


def status(root_key: bytes, phone: int, stage: int, activation: int, answers: Header) -> bytes:
    """The status that answers a message: one for each (counter, stage), ever."""
    said = {
        "v": 1,
        "type": "status",
        "phone": topics.device_name(phone),
        "epoch": answers.epoch,
        "counter": answers.counter,
        "stage": STAGE_NAMES[stage],
        "activation": activation,
    }
    return signed(mac_key(root_key, phone, "down"), json.dumps(said, separators=(",", ":")).encode())


def up(name: str) -> str:
    """Messages from the phone (QoS 1, not retained)."""
    return topics.PHONE_PREFIX + name + "/up"


def down(name: str) -> str:
    """Messages to the phone (QoS 1, not retained)."""
    return topics.PHONE_PREFIX + name + "/down"


def _alarm(message: PhoneMessage) -> Alarm:
    alarm = Alarm(
        message.activation,
        silent=message.silent,
        age_ms=message.age_ms,
        age_is_minimum=message.age_is_minimum,
        repeated=message.repeated,
    )
    place = message.position
    if place is not None:
        alarm.lat_e7, alarm.lon_e7 = round(place.lat * 1e7), round(place.lon * 1e7)
        alarm.accuracy_m = None if place.accuracy_m is None else round(min(place.accuracy_m, 0xFFFE))
        alarm.fix_age_s = None if place.age_s is None else round(min(place.age_s, 0xFFFE))
    return alarm


def _encoded(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _decoded(text: bytes) -> bytes:
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4), b"-_", validate=True)
    except binascii.Error as error:
        raise FrameError("bad-body", "the payload is no base64url") from error


def _first(error: ValidationError) -> str:
    """The first thing that is wrong, without the value, which may be somebody's."""
    found = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(each) for each in found["loc"])
    return f"{where}: {found['msg']}" if where else found["msg"]
