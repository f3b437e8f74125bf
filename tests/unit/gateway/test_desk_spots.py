"""Where the desk's map puts an incident, and the way that a person went."""

from __future__ import annotations

from typing import Any

from gateway.desk.spots import TRAIL, spot, trail
from gateway.incidents.stages import Event

SITE = (-69932000, 1104203000)
DEVICE = 0xA1B2


def alarm(
    lat: int | None, received_at: int, fix_at: int | None = None, accuracy_m: int | None = None
) -> dict[str, Any]:
    lon = None if lat is None else 1104229000
    return {"lat_e7": lat, "lon_e7": lon, "received_at": received_at, "fix_at": fix_at, "accuracy_m": accuracy_m}


def event(kind: str, lat: int | None, lon: int | None = 0) -> Event:
    return Event(kind, 0, "device:0000a1b2", {"lat_e7": lat, "lon_e7": lon} if lat is not None else {})


def test_the_newest_fix_then_the_site_then_nothing() -> None:
    old, new = alarm(-69900000, 10, fix_at=9, accuracy_m=5), alarm(-69800000, 20, fix_at=8, accuracy_m=50)
    assert spot([old, new], SITE) == {
        "lat": -6.99,
        "lon": 110.4229,
        "accuracy_m": 5,
    }  # fixed later, though it came first
    assert spot([alarm(None, 1)], SITE) == {"lat": -6.9932, "lon": 110.4203, "accuracy_m": None}
    assert spot([alarm(None, 1)], (None, None)) is None
    assert spot([], SITE) == {"lat": -6.9932, "lon": 110.4203, "accuracy_m": None}


def test_the_trail_is_every_fix_in_the_order_it_came() -> None:
    history = [event("opened", -69900000), event("acknowledged", None), event("position", -69800000, 10000000)]
    assert trail(history, DEVICE) == [(-6.99, 0.0), (-6.98, 1.0)]
    assert trail([event("opened", None)], DEVICE) == []
    assert trail(history, DEVICE + 1) == []  # another button's


def test_the_trail_has_an_end() -> None:
    history = [event("position", number) for number in range(TRAIL + 10)]
    assert len(trail(history, DEVICE)) == TRAIL
    assert trail(history, DEVICE)[-1][0] == (TRAIL + 9) / 1e7
