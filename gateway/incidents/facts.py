"""What one alarm frame says about the press and the position. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from panic_wire.frames import Alarm

# fix_at comes from whole seconds and the line's delay: closer than this is the same fix
FIX_JITTER_US = 5_000_000
MOVE_TELLS_M = 50  # backends are told of a position that is so far from the one they know,
ACCURACY_TELLS = 2  # or so many times as good
METRES_PER_DEGREE = 111_195  # of a great circle on a sphere of 6371 km

DURESS, MISTAKE, STILL_IN_DANGER = "duress", "mistake", "still_in_danger"
OTHERS_IN_DANGER = "others_in_danger"


def pressed_at(alarm: Alarm, received_at: int) -> int:
    """When it was pressed by this frame's account (microseconds UTC); the least over an alarm's frames is
    kept."""
    return received_at - alarm.age_ms * 1000


def age_is_minimum(alarm: Alarm) -> bool:
    """The press may lie further back than the frame's age says."""
    return alarm.age_is_minimum or alarm.age_ms == 0xFFFFFFFF  # a saturated age says "at least", too


def fix(alarm: Alarm, received_at: int) -> dict[str, int | None]:
    """The alarm's position columns; all None without a fix."""
    if alarm.lat_e7 is None:
        return {"lat_e7": None, "lon_e7": None, "accuracy_m": None, "fix_at": None}
    fix_at = None if alarm.fix_age_s is None else received_at - alarm.fix_age_s * 1_000_000
    return {
        "lat_e7": alarm.lat_e7,
        "lon_e7": alarm.lon_e7,
        "accuracy_m": alarm.accuracy_m,
        "fix_at": fix_at,
    }


def best_fix(listed: Iterable[Mapping[Any, Any]]) -> Mapping[Any, Any] | None:
    """Of alarms' rows, the one with the newest fix; None when none has any."""
    fixes = [row for row in listed if row["lat_e7"] is not None]
    return max(fixes, key=lambda row: (row["fix_at"] or row["received_at"], row["received_at"]), default=None)


def is_another_fix(found: Any, fix: dict[str, int | None]) -> bool:
    """A fix that says something else than what is kept. No fix never replaces one."""
    if fix["lat_e7"] is None:
        return False
    if (found.lat_e7, found.lon_e7, found.accuracy_m) != (fix["lat_e7"], fix["lon_e7"], fix["accuracy_m"]):
        return True
    if found.fix_at is None or fix["fix_at"] is None:
        return found.fix_at is None and fix["fix_at"] is not None
    return abs(fix["fix_at"] - found.fix_at) > FIX_JITTER_US


def distance_m(a: tuple[int, int], b: tuple[int, int]) -> float:
    """Between two positions (lat_e7, lon_e7) that are near each other."""
    north = (a[0] - b[0]) / 1e7
    east = ((a[1] - b[1]) / 1e7 + 180) % 360 - 180
    return math.hypot(north, east * math.cos(math.radians(a[0] / 1e7))) * METRES_PER_DEGREE


def tells_more(found: Any, fix: dict[str, int | None]) -> bool:
    """Whether this fix says so much more than the one that backends were told that they should have it."""
    lat, lon = fix["lat_e7"], fix["lon_e7"]
    if lat is None or lon is None:
        return False
    if found.told_lat_e7 is None:
        return True
    accuracy = 0xFFFF if fix["accuracy_m"] is None else fix["accuracy_m"]
    told_accuracy = 0xFFFF if found.told_accuracy_m is None else found.told_accuracy_m
    if accuracy * ACCURACY_TELLS <= told_accuracy and accuracy < told_accuracy:
        return True
    return distance_m((lat, lon), (found.told_lat_e7, found.told_lon_e7)) >= MOVE_TELLS_M


def cancel_says(listed: Iterable[Mapping[Any, Any]]) -> str | None:
    """What has been said of an incident beyond its alarms, by their rows; None when nothing.

    DURESS: once, of any of them, and it stays. MISTAKE: of the alarm that was pressed last, at every button.
    STILL_IN_DANGER: of one before that, at some button. OTHERS_IN_DANGER: at one button, and not at another. It
    follows from what was said, not from the order in which it came.
    """
    newest: dict[int, Mapping[Any, Any]] = {}
    cancelled: set[int] = set()
    for row in sorted(listed, key=lambda row: (row["pressed_at"], row["activation"])):
        if row["duress"]:
            return DURESS
        newest[row["device_id"]] = row
        if row["cancelled_at"] is not None:
            cancelled.add(row["device_id"])
    if not cancelled:
        return None
    if any(newest[device]["cancelled_at"] is None for device in cancelled):
        return STILL_IN_DANGER
    return MISTAKE if len(cancelled) == len(newest) else OTHERS_IN_DANGER
