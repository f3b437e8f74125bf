"""Apps that people already have, as they speak: Traccar Client and OwnTracks. Pure.

- Traccar Client sends JSON from 9.0 on, parameters before (https://www.traccar.org/osmand/); its shortcut for an SOS
  adds the extra `alarm` with the value `sos` to a position.
- OwnTracks posts JSON with a `_type` (https://owntracks.org/booklet/tech/json/). It has no SOS: only positions.

Neither shows its person what became of it: that is what the SOS page is for.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from panic_wire.keys import SALT, hkdf_sha256
from panic_wire.topics import device_name

TRACCAR, OWNTRACKS = "traccar", "owntracks"
KEY_BYTES = 16
FIRST_S = 1_577_836_800  # 2020-01-01: counters are seconds since then, which 32 bits hold until 2156
MOST_AHEAD_S = 3600  # a clock that is further ahead is taken for now
EPOCHS = {(TRACCAR, False): 0x54520001, (TRACCAR, True): 0x54520002, (OWNTRACKS, False): 0x4F540001}


class AppError(ValueError):
    """What is wrong with a message."""


@dataclass(frozen=True, slots=True)
class AppMessage:
    """at_s: Unix time, in seconds, of the phone's clock. position: as in the contract's JSON, without its age."""

    at_s: float
    sos: bool
    position: dict[str, float] | None
    battery_percent: int | None = None


def key_of(root_key: bytes, phone: int) -> str:
    """What an app has in its address to say who it is: the phone's id, and 32 hex digits that the gateway makes."""
    secret = hkdf_sha256(root_key, SALT, b"phone apps" + phone.to_bytes(4, "big"), KEY_BYTES)
    return f"{device_name(phone)}-{secret.hex()}"


def is_key(root_key: bytes, phone: int, brought: str) -> bool:
    """Compared in constant time."""
    return hmac.compare_digest(key_of(root_key, phone).encode(), brought.encode())


def from_traccar(body: bytes, parameters: Mapping[str, str], now_s: float) -> AppMessage:
    """Either of its two forms. AppError for anything else."""
    if body.lstrip().startswith(b"{"):
        location = _table(_json(body), "location")
        coordinates, extras = _part(location, "coords"), _part(location, "extras")
        level = _part(location, "battery").get("level")
        said = {
            "at": location.get("timestamp"),
            "alarm": extras.get("alarm"),
            "place": (coordinates.get("latitude"), coordinates.get("longitude"), coordinates.get("accuracy")),
            "battery": level * 100 if isinstance(level, int | float) else None,
        }
    elif parameters:
        lat, lon = parameters.get("lat"), parameters.get("lon")
        if "location" in parameters:
            lat, _, lon = parameters["location"].partition(",")
        said = {
            "at": parameters.get("timestamp"),
            "alarm": parameters.get("alarm"),
            "place": (lat, lon, parameters.get("accuracy")),
            "battery": parameters.get("batt"),
        }
    else:
        raise AppError("neither JSON nor parameters")
    if str(said["alarm"]).lower() != "sos":
        return AppMessage(_time(said["at"], now_s), False, _position(*said["place"]), _percent(said["battery"]))
    # Whatever else is senseless in it, an SOS is one.
    at_s, place = now_s, None
    with contextlib.suppress(AppError):
        at_s = _time(said["at"], now_s)
    with contextlib.suppress(AppError):
        place = _position(*said["place"])
    return AppMessage(at_s, True, place, _percent(said["battery"]))


def from_owntracks(body: bytes, now_s: float) -> AppMessage | None:
    """A `location`; None for what says no place, and for the empty message of a friend who was deleted."""
    if not body.strip():
        return None
    said = _json(body)
    if said.get("_type") == "encrypted":
        raise AppError("OwnTracks encrypts: turn its encryption off, as HTTPS does it")
    if said.get("_type") != "location":
        return None
    place = _position(said.get("lat"), said.get("lon"), said.get("acc"))
    return AppMessage(_time(said.get("tst"), now_s), False, place, _percent(said.get("batt")))


def as_contract(app: str, message: AppMessage, phone: int, now_s: float, open_alarm: int | None) -> dict[str, Any]:
    """The message in the contract's JSON (section 12). open_alarm: the activation of one that is not closed.

    A position goes nowhere without an alarm. The second in which an SOS was sent is its activation: said again, it is
    the same one.
    """
    seconds = max(1, int(message.at_s) - FIRST_S)
    said: dict[str, Any] = {"v": 1, "phone": device_name(phone), "counter": seconds}
    said["epoch"] = EPOCHS[app, message.sos]
    age_s = max(0.0, now_s - message.at_s)
    place = message.position and {**message.position, "age_s": round(age_s, 1)}
    if message.battery_percent is not None:
        said["battery_percent"] = message.battery_percent
    if message.sos:
        said |= {"type": "alarm", "activation": seconds, "age_ms": min(int(age_s * 1000), 0xFFFFFFFF)}
    elif open_alarm is not None and place:
        # Of when it was pressed an app's position says nothing: the least that is known, which moves nothing.
        said |= {"type": "update", "activation": open_alarm, "age_is_minimum": True}
    else:
        return said | {"type": "heartbeat"}
    return said | ({"position": place} if place else {})


def _json(body: bytes) -> dict[str, Any]:
    try:
        said = json.loads(body)
    except ValueError as error:
        raise AppError("no JSON") from error
    if not isinstance(said, dict):
        raise AppError("no JSON object")
    return said


def _table(said: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = said.get(name)
    if not isinstance(found, dict):
        raise AppError(f"no {name} in it")
    return found


def _part(said: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A table that may be missing, or none."""
    found = said.get(name)
    return found if isinstance(found, dict) else {}


def _number(value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise AppError("a number is none") from error
    if not math.isfinite(number):
        raise AppError("a number is none")
    return number


def _position(lat: Any, lon: Any, accuracy: Any) -> dict[str, float] | None:
    if lat is None or lon is None:
        return None
    north, east = _number(lat), _number(lon)
    if not (-90 <= north <= 90 and -180 <= east <= 180):
        raise AppError("a position off the globe")
    if north == 0 and east == 0:
        return None  # Traccar's way of saying that there is none
    found = {"lat": north, "lon": east}
    if accuracy is not None:
        found["accuracy_m"] = max(0.0, _number(accuracy))
    return found


def _time(value: Any, now_s: float) -> float:
    if value is None:
        return now_s
    try:
        at = datetime.fromisoformat(str(value)).astimezone(UTC).timestamp() if "T" in str(value) else _number(value)
    except (ValueError, OverflowError) as error:
        raise AppError("the time is none") from error
    if at > 1e11:
        at /= 1000
    return now_s if at > now_s + MOST_AHEAD_S or at <= FIRST_S else min(at, now_s)


def _percent(value: Any) -> int | None:
    """How full the battery is; None for what is no number, which nothing hangs on."""
    try:
        return round(min(max(_number(value), 0), 100))
    except AppError:
        return None
