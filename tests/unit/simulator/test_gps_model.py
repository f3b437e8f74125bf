"""The GPS receiver's sentences, checked against NMEA 0183's own arithmetic."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import reduce

import pytest

from sigap.problem import Problem
from simulator.world.gps import Receiver, checksum, degrees_minutes, receiver

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


def test_checksum_of_a_published_sentence() -> None:
    assert checksum("GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,") == "47"


@pytest.mark.parametrize("has_sky", [True, False])
@pytest.mark.parametrize("place", [(-6.9932, 110.4203), (0.0, 0.0), (51.5, -0.000001), (-89.9999999, 179.9999999)])
def test_every_sentence_is_well_formed(place: tuple[float, float], has_sky: bool) -> None:
    lines = Receiver(track=[(0, *place)], sky=has_sky).sentences(5, NOW)
    assert [line[3:6] for line in lines] == ["RMC", "GGA", "GSA"]
    for line in lines:
        assert line.startswith("$")
        assert line.endswith("\r\n")
        body, check = line[1:-2].split("*")
        assert reduce(lambda a, b: a ^ b, body.encode()) == int(check, 16)
        assert len(line) <= 82, "NMEA 0183's limit"
    fields = {line[3:6]: line[1:].split("*")[0].split(",") for line in lines}
    assert [len(fields[kind]) for kind in ("RMC", "GGA", "GSA")] == [13, 15, 18]
    assert fields["RMC"][1] == "050607.00"
    assert fields["RMC"][9] == "040326"
    assert (fields["RMC"][2], fields["GGA"][6], fields["GSA"][2]) == (("A", "1", "3") if has_sky else ("V", "0", "1"))


def test_the_position_can_be_read_back() -> None:
    rmc = Receiver(track=[(0, -6.9932, 110.4203)]).sentences(0, NOW)[0].split(",")
    assert rmc[3:7] == ["0659.59200", "S", "11025.21800", "E"]
    assert -(int(rmc[3][:2]) + float(rmc[3][2:]) / 60) == pytest.approx(-6.9932, abs=1e-7)


def test_minutes_never_round_to_sixty() -> None:
    assert degrees_minutes(6.9999999999, 2) == "0700.00000"


def test_it_follows_its_track() -> None:
    moving = Receiver(track=[(0, -7.0, 110.0), (100, -7.0, 110.1), (110, -7.0, 110.1)])
    assert moving.position(50) == pytest.approx((-7.0, 110.05))
    assert moving.position(1000) == (-7.0, 110.1)
    speed, course = moving.motion(50)
    assert speed == pytest.approx(110.4, abs=0.5)
    assert course == pytest.approx(90, abs=0.1)
    assert moving.motion(108)[0] == 0


def test_the_first_fix_takes_its_time() -> None:
    cold = Receiver(track=[(0, -7.0, 110.0)], first_fix_s=30)
    assert not cold.has_fix(29)
    assert cold.has_fix(30)
    assert not Receiver().has_fix(30)


def test_settings() -> None:
    assert receiver({"site": [-7, 110], "sky": False}) == Receiver(track=[(0.0, -7.0, 110.0)], sky=False)
    assert receiver({"track": [[9, 1, 2], [0, 3, 4]]}).track == [(0.0, 3.0, 4.0), (9.0, 1.0, 2.0)]
    for wrong in ("here", {"site": 5}, {"site": [110.4, -6.9]}, {"track": [[1, 2]]}, {"colour": 1}):
        with pytest.raises(Problem):
            receiver(wrong)
