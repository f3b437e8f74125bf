"""What CAP 1.2 demands beyond its schema: rules that the XSD leaves to code. Clauses of CAP-v1.2-os."""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element

from gateway.backends.cap.message import HEADLINE_CHARACTERS, NAMESPACE

_NAME = re.compile(r"[^\s,<&]+")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d")
_CIRCLE = re.compile(r"(-?\d+(?:\.\d+)?),(-?\d+(?:\.\d+)?) (\d+(?:\.\d+)?(?:e-\d+)?)")
_TAG = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")


def problems(alert: Element) -> list[str]:
    """What is wrong with a message that may be valid by the schema; empty when nothing is."""

    def one(name: str) -> str:
        return alert.findtext(f"{{{NAMESPACE}}}{name}") or ""

    found = []
    for name in ("identifier", "sender"):
        if not _NAME.fullmatch(one(name)):
            found.append(f"{name} holds a space, a comma, < or & (3.2.1)")
    if not _TIME.fullmatch(one("sent")):
        found.append("sent has no explicit offset (3.3.2)")
    if one("msgType") in ("Update", "Cancel", "Ack", "Error") and not one("references"):
        found.append(f"{one('msgType')} has no references (3.2.1)")
    for each in one("references").split():
        parts = each.split(",")
        if len(parts) != 3 or not all(_NAME.fullmatch(part) for part in parts[:2]) or not _TIME.fullmatch(parts[2]):
            found.append(f"the reference {each[:80]!r} is not sender,identifier,sent (3.2.1)")
    if one("scope") == "Restricted" and not one("restriction"):
        found.append("scope is Restricted without restriction (3.2.1)")
    if one("scope") == "Private" and not one("addresses"):
        found.append("scope is Private without addresses (3.2.1)")
    if one("msgType") == "Error" and not one("note"):
        found.append("Error has no note (3.2.1)")
    for info in alert.findall(f"{{{NAMESPACE}}}info"):
        found += _of_info(info)
    return found


def _of_info(info: Element) -> list[str]:
    found = []
    if not _TAG.fullmatch(info.findtext(f"{{{NAMESPACE}}}language") or "en-US"):
        found.append("language is no RFC 3066 tag (3.2.2)")
    if len(info.findtext(f"{{{NAMESPACE}}}headline") or "") > HEADLINE_CHARACTERS:
        found.append(f"headline is longer than {HEADLINE_CHARACTERS} characters (3.2.2)")
    for circle in info.iter(f"{{{NAMESPACE}}}circle"):
        parts = _CIRCLE.fullmatch(circle.text or "")
        if parts is None or abs(float(parts[1])) > 90 or abs(float(parts[2])) > 180:
            found.append(f"circle {circle.text!r} is not latitude,longitude radius (3.2.4)")
    return found
