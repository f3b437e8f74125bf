"""What an incident's change is in the codes of alarm receivers: SIA DC-03 and Contact ID (DC-05), with DC-09's extended
data (5.4.5): location, time, text.

A receiver knows events, not incidents: it is told what a button did and that the emergency is over. Stages that people
reached at a desk have no code there, and are not sent.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway.backends.dc09.frame import timestamp

TEXT_CHARACTERS = 100  # DC-09 allows 256; receivers show less
ZONE = 1


@dataclass(frozen=True)
class Event:
    """One event: SIA code, Contact ID (qualifier and event: 1 begins, 3 ends), and what it is for people."""

    sia: str
    cid: str
    means: str


PANIC = Event("PA", "1120", "panic alarm")
SILENT = Event("HA", "1122", "hold-up alarm: a silent button")
DURESS = Event("HA", "1121", "hold-up alarm: cancelled under duress")
CANCEL = Event("OC", "1406", "cancel: the person says that it was a mistake; nothing is closed by that")
TEST = Event("RX", "1601", "manual test")
OVER = Event("PR", "3120", "panic restoral: the incident was closed")
OVER_SILENT = Event("HR", "3122", "hold-up restoral: the incident was closed")
# Troubles of buttons: (when it begins, when it ends), by the name of its kind.
_SERVICE = Event("YX", "1300", "service required"), Event("YZ", "3300", "service completed")
_TAMPER = Event("TA", "1144", "tamper"), Event("TR", "3144", "tamper restoral")
TROUBLES = {
    "silent": (Event("YC", "1350", "the button is gone from the network"), Event("YK", "3350", "it is back")),
    "network": (Event("YS", "1350", "communications trouble"), Event("YK", "3350", "communications restoral")),
    "battery_low": (Event("YT", "1302", "battery trouble"), Event("YR", "3302", "battery restoral")),
    "button_stuck": (Event("PT", "1380", "panic trouble: button stuck"), Event("PJ", "3380", "panic trouble restore")),
    "tamper": _TAMPER,
    "site_moved": _TAMPER,
}
EVENTS = (PANIC, SILENT, DURESS, CANCEL, TEST, OVER, OVER_SILENT)

# A position has no code of its own: the alarm is sent again with the new place in it.
_AGAIN = ("opened", "alarm_joined", "position", "press_time")


def event_of(data: dict[str, Any]) -> Event | None:
    """The event to send for a CloudEvent's data; None for what a receiver has no code for."""
    change = data["change"]
    if data["test"]:
        return TEST if change in ("opened", "alarm_joined") else None
    if change == "cancelled":
        return DURESS if (data["cancel"] or {}).get("says") == "duress" else CANCEL
    if change == "closed":
        return OVER_SILENT if data["silent"] else OVER
    if change in _AGAIN:
        return SILENT if data["silent"] else PANIC
    return None


def trouble_event(name: str, began: bool) -> Event:
    """The event of a trouble's beginning or end; what has no code of its own wants service."""
    begin, end = TROUBLES.get(name, _SERVICE)
    return begin if began else end


def of_trouble(name: str, device_name: str, began_at_s: float | None) -> tuple[str, ...]:
    """Extended data of a trouble, without brackets."""
    time = () if began_at_s is None else ("H" + timestamp(began_at_s).removeprefix("_"),)
    return (*time, f"I{plain(f'{device_name}, {name}')}")


def data_block(kind: str, account: str, event: Event) -> str:
    """The data of a frame, without brackets: `#acct|Nri1/PA1` or `#acct|1120 01 001`."""
    code = f"Nri{ZONE}/{event.sia}{ZONE}" if kind == "SIA-DCS" else f"{event.cid} 01 {ZONE:03d}"
    return f"#{account}|{code}"


def extended(data: dict[str, Any]) -> tuple[str, ...]:
    """Time of the press, place and words, as far as they are known, without brackets."""
    blocks = []
    if data["alarms"]:
        pressed = min(each["pressed_at"] for each in data["alarms"])
        at_s = datetime.fromisoformat(pressed.replace("Z", "+00:00")).timestamp()
        blocks.append("H" + timestamp(at_s).removeprefix("_"))
    place = data["position"]
    if place["lat"] is not None:
        blocks += [f"X{_angle(place['lon'], 'EW')}", f"Y{_angle(place['lat'], 'NS')}"]
    owner = data["owner"] or {}
    words = [data["device_name"], owner.get("name"), data["site"], owner.get("telephone")]
    if text := plain(", ".join(each for each in words if each)):
        blocks.append(f"I{text}")
    return tuple(blocks)


def marked_late(blocks: tuple[str, ...], late_s: int) -> tuple[str, ...]:
    """The same, with its text beginning by how late it comes."""
    text = next((each[1:] for each in blocks if each.startswith("I")), "")
    rest = tuple(each for each in blocks if not each.startswith("I"))
    return (*rest, f"I{plain(f'LATE {late_s} s, {text}')}")


def plain(text: str) -> str:
    """As printable ASCII without the frame's own characters: receivers differ in what else they take."""
    ascii_only = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    kept = "".join(each if each.isprintable() and each not in '[]|"' else " " for each in ascii_only)
    return " ".join(kept.split())[:TEXT_CHARACTERS]


def _angle(degrees: float, sides: str) -> str:
    """`093W23.4560`: degrees, side, minutes (four decimals: 0.2 m)."""
    ten_thousandths = round(abs(degrees) * 60 * 10_000)
    whole, minutes = divmod(ten_thousandths, 60 * 10_000)
    return f"{whole:03d}{sides[degrees < 0]}{minutes / 10_000:07.4f}"
