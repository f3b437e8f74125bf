"""One CAP 1.2 message of a CloudEvent: Alert, Update or Cancel, in Bahasa Indonesia and in English. Pure.

Clauses are those of CAP-v1.2-os. People may be read of in it, so its scope is Restricted (3.2.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree as xml

from gateway.words import LANGUAGES, Translate, translator

NAMESPACE = "urn:oasis:names:tc:emergency:cap:1.2"
CONTENT_TYPE = "application/cap+xml"
LANGUAGE_TAGS = {"id": "id-ID", "en": "en-US"}
HEADLINE_CHARACTERS = 160  # 3.2.2
LEAST_RADIUS_M = 10  # no receiver is more exact; a site is surveyed to about this
SITE_RADIUS_M = 50
ALERT, UPDATE, CANCEL = "Alert", "Update", "Cancel"
ENDS = ("closed", "merged_into")
_CONTROLS = {code: " " for code in range(32) if code not in (9, 10, 13)} | {0x7F: " ", 0xFFFE: " ", 0xFFFF: " "}


def sent(time: str) -> str:
    """A CloudEvent's time as CAP's: whole seconds and -00:00 for UTC, never Z (3.3.2)."""
    return time[:19] + "-00:00"


def reference(sender: str, identifier: str, time: str) -> str:
    """How a later message names an earlier one (3.2.1, references)."""
    return f"{sender},{identifier},{sent(time)}"


def kind_of(payload: dict[str, Any], has_references: bool) -> str | None:
    """The message's type; None for the end of what was never told here."""
    if payload["data"]["change"] in ENDS:
        return CANCEL if has_references else None
    return UPDATE if has_references else ALERT


def build(payload: dict[str, Any], kind: str, *, sender: str, references: Sequence[str], late_s: int | None) -> bytes:
    """The message as UTF-8 XML. references: as `reference` makes them, oldest first; none for an Alert."""
    data = payload["data"]
    root = xml.Element("alert", {"xmlns": NAMESPACE})
    _add(root, "identifier", payload["id"])
    _add(root, "sender", sender)
    _add(root, "sent", sent(payload["time"]))
    _add(root, "status", "Test" if data["test"] else "Actual")
    _add(root, "msgType", kind)
    _add(root, "source", payload["source"])
    _add(root, "scope", "Restricted")
    _add(root, "restriction", "Police and disaster agencies: names a person in danger")
    if note := _note(data, late_s):
        _add(root, "note", note)
    if references:
        _add(root, "references", " ".join(references))
    _add(root, "incidents", data["incident"])
    for language in LANGUAGES:
        _info(root, data, kind, language)
    return b"<?xml version='1.0' encoding='UTF-8'?>\n" + xml.tostring(root, encoding="utf-8", xml_declaration=False)


def _note(data: dict[str, Any], late_s: int | None) -> str:
    said = [f"Late by {late_s} s: it waited for this destination"] if late_s is not None else []
    if data["merged_into"]:
        said.append(f"Goes on in incident {data['merged_into']}")
    return ". ".join(said)


def _info(root: xml.Element, data: dict[str, Any], kind: str, language: str) -> None:
    _ = translator(language)
    info = xml.SubElement(root, "info")
    _add(info, "language", LANGUAGE_TAGS[language])
    _add(info, "category", "Security")
    _add(info, "event", _("Panic button"))
    _add(info, "responseType", "AllClear" if kind == CANCEL else "Assess")
    urgency, severity, certainty = grades(data, kind)
    _add(info, "urgency", urgency)
    _add(info, "severity", severity)
    _add(info, "certainty", certainty)
    _add(info, "onset", sent(min((each["pressed_at"] for each in data["alarms"]), default=data["opened_at"])))
    owner = data["owner"] or {}
    name = owner.get("name") or data["device_name"]
    _add(info, "headline", headline(_, data, kind == CANCEL).format(name=name)[:HEADLINE_CHARACTERS])
    _add(info, "description", "\n".join(_description(_, data)))
    if data["silent"]:
        _add(info, "instruction", _("Do not telephone the place: somebody dangerous may be watching."))
    if owner.get("telephone"):
        _add(info, "contact", owner["telephone"])
    for key, value in (("device", data["device"]), ("change", data["change"]), ("state", data["state"])):
        parameter = xml.SubElement(info, "parameter")
        _add(parameter, "valueName", f"sigap:{key}")
        _add(parameter, "value", value)
    _area(_, info, data)


def grades(data: dict[str, Any], kind: str) -> tuple[str, str, str]:
    """(urgency, severity, certainty), of 3.2.2's words."""
    if kind == CANCEL:
        unlikely = data["disposition"] in ("false", "unfounded", "test", "exercise")
        return "Past", "Minor" if unlikely else "Severe", "Unlikely" if unlikely else "Observed"
    if data["test"]:
        return "Immediate", "Minor", "Unlikely"
    says = (data["cancel"] or {}).get("says")
    if says == "duress":
        return "Immediate", "Extreme", "Likely"
    certainty = "Observed" if data["state"] == "on_scene" else "Possible" if says == "mistake" else "Likely"
    return "Immediate", "Severe", certainty


def headline(_: Translate, data: dict[str, Any], is_end: bool) -> str:
    """In the reader's language, with {name} to fill in."""
    if is_end:
        return _("The emergency of {name} has ended")
    if data["test"]:
        return _("TEST: {name} tried the panic button")
    return _("{name} pressed a panic button and needs help")


def _description(_: Translate, data: dict[str, Any]) -> list[str]:
    owner = data["owner"] or {}
    lines = []
    if data["test"]:
        lines.append(_("This is only a test: nobody is in danger."))
    if owner.get("registered_message"):
        lines.append(owner["registered_message"])
    if owner.get("address"):
        lines.append(_("Address: {address}").format(address=owner["address"]))
    if data["site"]:
        lines.append(_("Place: {place}").format(place=data["site"]))
    says = (data["cancel"] or {}).get("says")
    if says == "duress":
        lines.append(_("Cancelled under duress: the danger is there."))
    elif says == "mistake":
        lines.append(_("The person says that it was a mistake."))
    lines.append(_("Presses: {number}").format(number=len(data["alarms"]) + data.get("alarms_left_out", 0)))
    return lines


def _area(_: Translate, info: xml.Element, data: dict[str, Any]) -> None:
    area, place = xml.SubElement(info, "area"), data["position"]
    in_words = _("Where the button is") if place["lat"] is not None else _("not known yet")
    _add(area, "areaDesc", data["site"] or in_words)
    if place["lat"] is not None:
        radius_m = SITE_RADIUS_M if place["source"] == "site" else max(LEAST_RADIUS_M, place["accuracy_m"] or 0)
        # WGS 84 latitude and longitude, then the radius in kilometres (3.2.4).
        _add(area, "circle", f"{place['lat']:.6f},{place['lon']:.6f} {radius_m / 1000:g}")


def clean(text: str) -> str:
    """What XML 1.0 cannot hold (2.2, Char) becomes a space: a name must not break an alarm."""
    return text.translate(_CONTROLS).encode("utf-8", "replace").decode()


def _add(parent: xml.Element, name: str, text: str) -> None:
    xml.SubElement(parent, name).text = clean(text)
