"""EIDO documents: what NENA-STA-021.1a (schema version 1.0.0) requires of each component, every reference resolved.

NENA's own schema is in no package that can be installed, so its requirements are written down here by name.
"""

from __future__ import annotations

import json
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.backends import eido
from tests.unit.gateway.backend_lab import INCIDENT, payload

PROLOGUE = {"$id", "lastUpdateTimeStamp", "updatedByAgencyReference"}
REQUIRED: dict[str, set[str]] = {
    "agencyComponent": {"agencyRoleDescriptionRegistryText", "agencyType"},
    "incidentComponent": {"incidentTypeCommonRegistryText"},
    "notesComponent": {"notesActionComments"},
    "locationComponent": {"locationTypeDescriptionRegistryText"},
    "callbackComponent": set(),
    "alarmsSensorsComponent": set(),
    "mergeComponent": {"incidentMergeDirectionCode", "incidentTrackingIdentifier"},
}
LISTS = set(REQUIRED) - {"incidentComponent"}  # of which there is one
ROOT = {"eidoVersion", "issuingElementIdentification", "agencyComponent"}


def checked(**data: Any) -> dict[str, Any]:
    document = eido.document(payload(**data))
    assert set(document) >= PROLOGUE | ROOT
    assert document["eidoVersion"] == "1.0"
    components = []
    for name, value in document.items():
        if not name.endswith("Component"):
            continue
        assert isinstance(value, list) == (name in LISTS)
        for each in value if isinstance(value, list) else [value]:
            assert set(each) >= PROLOGUE | REQUIRED[name], name
            components.append(each)
    ids = [each["$id"] for each in components]
    assert len(set(ids)) == len(ids)
    refers = json.dumps(document).split('{"$ref": "')[1:]
    assert {each.partition('"')[0] for each in refers} <= set(ids)
    return document


def test_an_alarm() -> None:
    document = checked()
    incident = document["incidentComponent"]
    assert incident["internalIncidentId"] == INCIDENT
    assert incident["incidentStatusInternalText"] == ["open"]
    (location,) = document["locationComponent"]
    assert location["locationDescriptionText"] == "kasir"
    place = ElementTree.fromstring(location["locationByValue"])
    assert place.findtext(f".//{{{eido.GML}}}pos") == "-6.9824871 110.4093217"
    assert place.findtext(f".//{{{eido.SHAPES}}}radius") == "8"
    assert document["callbackComponent"][0]["callBackInformationUri"] == ["tel:+6224000000"]
    assert "Tolong, ada bahaya di toko." in [each["notesActionComments"] for each in document["notesComponent"]]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ({"change": "merged_into", "merged_into": "other", "state": "closed"}, "REPLACED"),
        ({"change": "merged_from", "other_incident": "other"}, "REPLACING"),
        ({"change": "split_off", "other_incident": "other"}, "SPLIT"),
        ({"change": "split_from", "other_incident": "other"}, "SPLIT"),
    ],
)
def test_two_that_are_one(data: dict[str, Any], code: str) -> None:
    (merge,) = checked(**data)["mergeComponent"]
    assert (merge["incidentMergeDirectionCode"], merge["incidentTrackingIdentifier"]) == (code, "other")


def test_nobody_is_called_back_where_it_was_silent() -> None:
    document = checked(silent=True)
    assert "callbackComponent" not in document
    assert any("do not call back" in each["notesActionComments"] for each in document["notesComponent"])


def test_what_is_not_known_is_left_out() -> None:
    unknown = {"lat": None, "lon": None, "accuracy_m": None, "source": None, "fix_at": None}
    document = checked(owner=None, site=None, position=unknown)
    assert "locationComponent" not in document
    site = {"lat": -6.98, "lon": 110.41, "accuracy_m": None, "source": "site", "fix_at": None}
    (location,) = checked(position=site)["locationComponent"]
    place = ElementTree.fromstring(location["locationByValue"])
    assert place.findtext(f".//{{{eido.GML}}}Point/{{{eido.GML}}}pos") == "-6.9800000 110.4100000"


@settings(max_examples=50)
@given(st.text(max_size=100))
def test_no_name_is_markup(name: str) -> None:
    document = checked(owner={**payload()["data"]["owner"], "name": name, "registered_message": name})
    for each in document["notesComponent"]:
        assert "<" not in each["notesActionComments"]
