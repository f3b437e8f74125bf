"""What a fault is: how it is told, what it draws, and what is none."""

from __future__ import annotations

from random import Random

import pytest

from sigap.problem import Problem
from simulator.faults.model import Faults, Way


def test_changes_come_on_top_of_each_other_and_are_told_as_they_are_given() -> None:
    faults = Faults().changed({"delay_ms": "200", "up.loss": 0.1}).changed({"cut": "half-open", "down.delay_ms": 5})
    assert faults.up == Way(delay_ms=200, loss=0.1)
    assert faults.down == Way(delay_ms=5)
    assert faults.told() == {"cut": "half-open", "up.delay_ms": 200, "down.delay_ms": 5, "up.loss": 0.1}
    assert Faults().changed(faults.told()) == faults
    assert faults.changed({"cut": "", "delay_ms": 0, "loss": 0}) == Faults()


@pytest.mark.parametrize(
    "changes",
    [
        {"delay_ms": -1},
        {"delay_ms": "soon"},
        {"delay_ms": float("nan")},
        {"delay_ms": True},
        {"delay_ms": None},
        {"loss": 1.5},
        {"reset_after": 10**20},
        {"reset_after": 2.5},
        {"reset_after": "2.5"},
        {"cut": "a bit"},
        {"rain": 1},
        {"sideways.loss": 0.5},
        {"up.cut": "half-open"},
    ],
)
def test_what_is_no_fault_is_said(changes: dict[str, object]) -> None:
    with pytest.raises(Problem) as found:
        Faults().changed(changes)
    assert found.value.todo


def test_the_same_seed_draws_the_same() -> None:
    way = Way(delay_ms=100, jitter_ms=30, loss=0.3, garbage=0.5)
    late = [[way.late_s(draw) for _ in range(200)] for draw in (Random("a"), Random("a"), Random("b"))]
    assert late[0] == late[1] != late[2]
    assert [way.noise(b"abc", Random(n)) for n in range(50)] == [way.noise(b"abc", Random(n)) for n in range(50)]


def test_a_lost_piece_comes_after_200_ms_doubling() -> None:
    assert Way(loss=1).late_s(Random(1)) == pytest.approx(0.2 * (2**6 - 1))
    stalls = {round(Way(loss=0.5).late_s(Random(n)), 3) for n in range(500)}
    assert stalls == {0, 0.2, 0.6, 1.4, 3.0, 6.2, 12.6}


def test_jitter_never_makes_it_early() -> None:
    late = [Way(delay_ms=10, jitter_ms=50).late_s(Random(n)) for n in range(300)]
    assert min(late) == 0
    assert 0.05 < max(late) <= 0.06


def test_noise_changes_one_byte() -> None:
    for n in range(100):
        piece = bytes(range(50))
        came = Way(garbage=1).noise(piece, Random(n))
        assert sum(a != b for a, b in zip(piece, came, strict=True)) == 1
    assert Way().noise(b"abc", Random(1)) == b"abc"
