"""What a relative reads: the owner's registered message, completed with place and time. Pure.

`data` is gateway.incidents.cloudevents.incident_data as it stood when the thing happened.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from babel.dates import format_datetime

from gateway.words import translator

OPENED, DISPATCHED, CLOSED = "opened", "dispatched", "closed"
CHANGES = (OPENED, DISPATCHED, CLOSED)


def compose(change: str, data: dict[str, Any], zone: ZoneInfo) -> tuple[str, str]:
    """(title, body) in the owner's language, plain text, times in `zone`."""
    owner = data["owner"]
    _ = translator(owner["language"])
    if data["test"]:
        title = _("Sigap: a test of {name}'s emergency button").format(name=owner["name"])
        lines = [_("This is only a test: nobody is in danger, and no officers are sent.")]
        lines.append(_("You get it because you asked to be told of tests."))
    elif change == DISPATCHED:
        title = _("Sigap: help is on the way to {name}").format(name=owner["name"])
        lines = [_("The police have sent officers to {name}.").format(name=owner["name"])]
    elif change == CLOSED:
        title = _("Sigap: the emergency of {name} has ended").format(name=owner["name"])
        lines = [ended(_, data["disposition"])]
    else:
        title = _("Sigap: {name} pressed the emergency button").format(name=owner["name"])
        lines = [owner["registered_message"] or _("I pressed my emergency button. I need help.")]
        if data["silent"]:
            lines.append(_("Do not call: it was pressed in silence, and a ringing telephone may bring danger."))
    lines += ["", *where_and_when(_, data, zone, owner["language"])]
    lines += ["", _("This message was sent by Sigap, the panic-button system of the police.")]
    return title, "\n".join(lines)


def where_and_when(_: Any, data: dict[str, Any], zone: ZoneInfo, language: str) -> list[str]:
    """Lines with place, map link and local time; what is not known is said to be so."""
    pressed = min((alarm["pressed_at"] for alarm in data["alarms"]), default=data["opened_at"])
    at = datetime.fromisoformat(pressed).astimezone(zone)
    lines = [_("Pressed: {time}").format(time=format_datetime(at, "d MMMM y HH.mm.ss z", locale=language))]
    position = data["position"]
    if data["site"]:
        lines.append(_("Place: {place}").format(place=data["site"]))
    if position["lat"] is None:
        lines.append(_("Position: not known yet"))
        return lines
    spot = f"{position['lat']:.5f}, {position['lon']:.5f}"
    if position["accuracy_m"] is not None:
        lines.append(_("Position: {spot}, within {metres} m").format(spot=spot, metres=position["accuracy_m"]))
    else:
        lines.append(_("Position: {spot}").format(spot=spot))
    lat, lon = f"{position['lat']:.5f}", f"{position['lon']:.5f}"
    lines.append(
        _("Map: {link}").format(link=f"https://www.openstreetmap.org/?mlat={lat}&mlon={lon}#map=17/{lat}/{lon}")
    )
    return lines


def ended(_: Any, disposition: str | None) -> str:
    """How it ended, in words."""
    words = {
        "genuine": _("The police have closed the emergency: help was given."),
        "false": _("The police have closed the emergency: it was a false alarm."),
        "test": _("The police have closed it: it was a test."),
        "exercise": _("The police have closed it: it was an exercise."),
        "unfounded": _("The police have closed it: they found no emergency."),
    }
    return words.get(disposition or "", _("The police have closed the emergency."))
