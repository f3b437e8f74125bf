"""An incident as a NENA EIDO document (NENA-STA-021.1a, Emergency Incident Data Object in JSON, version 1.0). Pure.

Every component has the common prologue ($id, lastUpdateTimeStamp, updatedByAgencyReference) and is referred to by its
$id. Places are PIDF-LO (RFC 4119) with a circle or a point (RFC 5491, 5.2). Values of NENA's registries are kept to
those that the standard's own text gives; what is Sigap's own is in the members that are called internal.
"""

from __future__ import annotations

import html
from typing import Any
from xml.etree import ElementTree as xml

CONTENT_TYPE = "application/emergencyCallData.eido+json"
VERSION = "1.0"
INCIDENT_TYPE = "PANIC BUTTON"
MERGES = {"merged_into": "REPLACED", "merged_from": "REPLACING", "split_off": "SPLIT", "split_from": "SPLIT"}
PIDF, GEOPRIV = "urn:ietf:params:xml:ns:pidf", "urn:ietf:params:xml:ns:pidf:geopriv10"
GML, SHAPES = "http://www.opengis.net/gml", "http://www.opengis.net/pidflo/1.0"
WGS84, METRE = "urn:ogc:def:crs:EPSG::4326", "urn:ogc:def:uom:EPSG::9001"


def document(payload: dict[str, Any]) -> dict[str, Any]:
    """The EIDO of a CloudEvent as the outbox holds it (gateway.incidents.cloudevents)."""
    data, at, source = payload["data"], payload["time"], payload["source"]
    incident = f"urn:emergency:uid:incidentid:{data['incident']}:{source.rpartition(':')[2]}"
    made = _Maker(incident, at)
    agency = made.component("agency", agencyRoleDescriptionRegistryText=["Dispatch"], agencyType=["police"])
    agency["incidentOwningAgencyIndicator"] = True
    notes = [made.component("note", notesActionComments=html.escape(text)) for text in _notes(data)]
    locations = _locations(made, data)
    callbacks = _callbacks(made, data)
    about: dict[str, Any] = {
        "incidentTypeCommonRegistryText": INCIDENT_TYPE,
        "incidentTypeInternalText": INCIDENT_TYPE,
        "incidentStatusInternalText": [data["state"], *([data["disposition"]] if data["disposition"] else [])],
        "incidentPriorityInternalText": "TEST" if data["test"] else "EMERGENCY",
        "internalIncidentId": data["incident"],
    }
    found: dict[str, Any] = {
        **made.prologue("eido", payload["id"]),
        "eidoVersion": VERSION,
        "issuingElementIdentification": source,
        "agencyComponent": [agency],
        "incidentComponent": made.component("incident", **about, **_refers("location", locations), **_notes_of(notes)),
        "alarmsSensorsComponent": [made.component("alarm", **_notes_of(notes))],
        "notesComponent": notes,
        "locationComponent": locations,
        "callbackComponent": callbacks,
    }
    if data["change"] in MERGES and (other := data["merged_into"] or data["other_incident"]):
        direction = {"incidentMergeDirectionCode": MERGES[data["change"]], "incidentTrackingIdentifier": other}
        found["mergeComponent"] = [made.component("merge", **direction)]
    return {name: value for name, value in found.items() if value != []}


class _Maker:
    """Numbers the components of one document."""

    def __init__(self, incident: str, at: str) -> None:
        self._incident, self._at = incident, at
        self._numbers: dict[str, int] = {}

    def prologue(self, kind: str, number: str) -> dict[str, Any]:
        return {
            "$id": f"{self._incident}:{kind}:{number}",
            "lastUpdateTimeStamp": self._at,
            "updatedByAgencyReference": {"$ref": f"{self._incident}:agency:0"},
        }

    def component(self, kind: str, **members: Any) -> dict[str, Any]:
        number = self._numbers.get(kind, 0)
        self._numbers[kind] = number + 1
        return {**self.prologue(kind, str(number)), **members}


def _refers(name: str, components: list[dict[str, Any]]) -> dict[str, Any]:
    return {f"{name}Reference": [{"$ref": each["$id"]} for each in components]} if components else {}


def _notes_of(notes: list[dict[str, Any]]) -> dict[str, Any]:
    return _refers("notes", notes)


def _notes(data: dict[str, Any]) -> list[str]:
    """What a call taker would write down, one thing a note."""
    owner = data["owner"] or {}
    who = ", ".join(each for each in (owner.get("name"), owner.get("address"), data["device_name"]) if each)
    notes = [f"Button: {who}", f"Presses: {len(data['alarms']) + data.get('alarms_left_out', 0)}"]
    if owner.get("registered_message"):
        notes.append(owner["registered_message"])
    if data["silent"]:
        notes.append("Silent: do not call back, somebody dangerous may be watching")
    if data["cancel"]:
        notes.append(f"Cancel: {data['cancel']['says']}")
    return notes


def _callbacks(made: _Maker, data: dict[str, Any]) -> list[dict[str, Any]]:
    telephone = (data["owner"] or {}).get("telephone")
    if not telephone or data["silent"]:  # nobody is to be called there
        return []
    digits = "".join(each for each in telephone if each.isdigit() or each == "+")
    return [made.component("callback", callBackInformationUri=[f"tel:{digits}"])]


def _locations(made: _Maker, data: dict[str, Any]) -> list[dict[str, Any]]:
    place = data["position"]
    if place["lat"] is None and not data["site"]:
        return []
    members: dict[str, Any] = {"locationTypeDescriptionRegistryText": "Incident"}
    if data["site"]:
        members["locationDescriptionText"] = data["site"]
    if place["lat"] is not None:
        members["locationByValue"] = pidf_lo(place, data["device"], place["fix_at"] or data["opened_at"])
    return [made.component("location", **members)]


def pidf_lo(place: dict[str, Any], device: str, at: str) -> str:
    """Presence with one location: a circle where the accuracy is known, else a point (RFC 5491, 5.2.3 and 5.2.1)."""
    spaces = {"xmlns": PIDF, "xmlns:gp": GEOPRIV, "xmlns:gml": GML, "xmlns:gs": SHAPES}
    root = xml.Element("presence", {**spaces, "entity": f"pres:{device}@sigap.invalid"})
    parent = xml.SubElement(root, "tuple", {"id": f"d{device}"})
    geopriv = xml.SubElement(xml.SubElement(parent, "status"), "gp:geopriv")
    info = xml.SubElement(geopriv, "gp:location-info")
    is_circle = place["accuracy_m"] is not None
    shape = xml.SubElement(info, "gs:Circle" if is_circle else "gml:Point", {"srsName": WGS84})
    xml.SubElement(shape, "gml:pos").text = f"{place['lat']:.7f} {place['lon']:.7f}"
    if is_circle:
        xml.SubElement(shape, "gs:radius", {"uom": METRE}).text = str(place["accuracy_m"])
    xml.SubElement(geopriv, "gp:usage-rules")
    xml.SubElement(parent, "timestamp").text = at
    return xml.tostring(root, encoding="unicode")
