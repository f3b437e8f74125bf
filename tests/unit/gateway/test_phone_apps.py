"""What Traccar Client and OwnTracks really send, and that nothing else does anything."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ingest.phone import PhoneMessage
from gateway.phone import apps

NOW_S = 1_795_780_800.0  # 2026-11-27T12:00:00Z
ROOT, PHONE = bytes(range(16)), 0xA1B2
# As Traccar Client 9 posts it (https://www.traccar.org/osmand/), by its shortcut for an SOS.
TRACCAR_9 = {
    "location": {
        "timestamp": "2026-11-27T11:59:58.000Z",
        "coords": {
            "latitude": -6.9932,
            "longitude": 110.4203,
            "accuracy": 12.5,
            "speed": 0,
            "heading": 0,
            "altitude": 9,
        },
        "is_moving": False,
        "odometer": 12,
        "event": "motionchange",
        "battery": {"level": 0.71, "is_charging": False},
        "activity": {"type": "still"},
        "extras": {"alarm": "sos"},
    },
    "device_id": "48241179",
}
TRACCAR_8 = {
    "id": "48241179",
    "timestamp": "1795780798",
    "lat": "-6.9932",
    "lon": "110.4203",
    "accuracy": "12.5",
    "batt": "71.0",
}
# As OwnTracks for Android posts it (https://owntracks.org/booklet/tech/json/).
OWNTRACKS = {
    "_type": "location",
    "acc": 12,
    "alt": 9,
    "batt": 71,
    "bs": 1,
    "conn": "m",
    "created_at": 1795780799,
    "lat": -6.9932,
    "lon": 110.4203,
    "m": 1,
    "t": "u",
    "tid": "si",
    "topic": "owntracks/siti/phone",
    "tst": 1795780798,
    "vac": 3,
    "vel": 0,
}
PLACE = {"lat": -6.9932, "lon": 110.4203, "accuracy_m": 12.5}


def without_sos() -> dict[str, Any]:
    said = json.loads(json.dumps(TRACCAR_9))
    said["location"]["extras"] = {}
    return said


def test_traccar() -> None:
    new = apps.from_traccar(json.dumps(TRACCAR_9).encode(), {}, NOW_S)
    assert new == apps.AppMessage(NOW_S - 2, True, PLACE, 71)
    old = apps.from_traccar(b"", {**TRACCAR_8, "alarm": "sos"}, NOW_S)
    assert old == new
    assert not apps.from_traccar(json.dumps(without_sos()).encode(), {}, NOW_S).sos
    assert not apps.from_traccar(b"", TRACCAR_8, NOW_S).sos
    nowhere = apps.from_traccar(b"", {"id": "1", "lat": "0", "lon": "0", "alarm": "sos"}, NOW_S)
    assert (nowhere.sos, nowhere.position, nowhere.at_s) == (True, None, NOW_S)  # an SOS without a place is one


@pytest.mark.parametrize("coords", [None, [], "x", {"latitude": 91, "longitude": 0}, {"latitude": "x", "longitude": 1}])
@pytest.mark.parametrize("at", [None, "T", [], "2026-99-99T00:00:00Z"])
def test_an_sos_is_one_whatever_else_is_senseless(coords: Any, at: Any) -> None:
    said = {"location": {"coords": coords, "timestamp": at, "battery": 3, "extras": {"alarm": "SOS"}}}
    found = apps.from_traccar(json.dumps(said).encode(), {}, NOW_S)
    assert found == apps.AppMessage(NOW_S, True, None, None)


def test_owntracks() -> None:
    found = apps.from_owntracks(json.dumps(OWNTRACKS).encode(), NOW_S)
    assert found == apps.AppMessage(NOW_S - 2, False, {**PLACE, "accuracy_m": 12}, 71)
    assert apps.from_owntracks(b"", NOW_S) is None
    assert apps.from_owntracks(b'{"_type":"lwt","tst":1}', NOW_S) is None
    with pytest.raises(apps.AppError, match="encryption off"):
        apps.from_owntracks(b'{"_type":"encrypted","data":"x"}', NOW_S)


def test_a_position_goes_nowhere_without_an_alarm() -> None:
    plain = apps.from_traccar(json.dumps(without_sos()).encode(), {}, NOW_S)
    quiet = apps.as_contract(apps.TRACCAR, plain, PHONE, NOW_S, None)
    assert (quiet["type"], "position" in quiet) == ("heartbeat", False)
    while_open = apps.as_contract(apps.TRACCAR, plain, PHONE, NOW_S, 7)
    assert (while_open["type"], while_open["activation"], while_open["position"]["age_s"]) == ("update", 7, 2.0)
    sos = apps.as_contract(
        apps.TRACCAR, apps.from_traccar(json.dumps(TRACCAR_9).encode(), {}, NOW_S), PHONE, NOW_S, None
    )
    assert (sos["type"], sos["age_ms"]) == ("alarm", 2000)
    # Sent again later, it is the same alarm.
    again = apps.as_contract(
        apps.TRACCAR, apps.from_traccar(json.dumps(TRACCAR_9).encode(), {}, NOW_S + 600), PHONE, NOW_S + 600, None
    )
    assert (again["activation"], again["age_ms"]) == (sos["activation"], 602_000)
    for each in (quiet, while_open, sos, again):
        PhoneMessage.model_validate(each)


@pytest.mark.parametrize(
    "at", ["2099-01-01T00:00:00Z", 4_000_000_000, "1999-01-01T00:00:00Z", 0, None, NOW_S * 1000], ids=str
)
def test_a_clock_that_is_wrong_is_not_believed(at: Any) -> None:
    said = {**OWNTRACKS, "tst": at}
    found = apps.from_owntracks(json.dumps(said).encode(), NOW_S)
    assert found is not None
    assert found.at_s == NOW_S


def test_who_it_is() -> None:
    key = apps.key_of(ROOT, PHONE)
    assert key.startswith("0000a1b2-")
    assert apps.is_key(ROOT, PHONE, key)
    assert not apps.is_key(ROOT, PHONE, key[:-1] + "x")
    assert not apps.is_key(bytes(16), PHONE, key)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=12,
)


@given(
    st.dictionaries(st.sampled_from([*OWNTRACKS, "location"]), JSON),
    st.dictionaries(st.sampled_from([*TRACCAR_9["location"], "x"]), JSON),
    st.dictionaries(st.sampled_from([*TRACCAR_8, "alarm", "location"]), st.text(max_size=30)),
    st.binary(max_size=60),
)
def test_nothing_breaks_it(flat: dict, location: dict, parameters: dict, noise: bytes) -> None:
    bodies = [noise, json.dumps(flat).encode(), json.dumps({"location": location}).encode()]
    for body in bodies:
        for read in (lambda b: apps.from_owntracks(b, NOW_S), lambda b: apps.from_traccar(b, parameters, NOW_S)):
            try:
                found = read(body)
            except apps.AppError:
                continue
            if found is not None:
                for alarm in (None, 3):
                    PhoneMessage.model_validate(apps.as_contract(apps.TRACCAR, found, PHONE, NOW_S, alarm))
