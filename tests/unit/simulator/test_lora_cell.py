"""The model of a cell: what it must show, what it must keep to, and the commands and page that print it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from sigap.cli import sigap
from simulator.radio.modulation import Modulation, Packet
from simulator.radio.regions import AS923_2
from simulator.virtual.cell import SCHEDULES, Case, run

SIGAP = SCHEDULES["sigap"]
PAGE = Path(__file__).parents[3] / "docs/lora.md"


def test_one_button_has_its_receipt_after_its_frame_and_the_answer() -> None:
    result = run(Case(1, 9, 1, SIGAP))
    frame, answer = (Packet(bytes(length), Modulation(AS923_2.channels_hz[0], 9), 14.0) for length in (24, 11))
    expected_us = frame.airtime_us + 20_000 + answer.airtime_us
    assert result.receipt_s == [pytest.approx(expected_us / 1e6)]
    assert (result.sent, result.lost, result.broken) == (1, 0, [])


@pytest.mark.parametrize("hidden", [False, True])
def test_fifty_at_once_all_have_a_receipt_and_nobody_breaks_the_regions_rules(hidden: bool) -> None:
    result = run(Case(50, 7, 2, SIGAP, hidden=hidden, loss=0.1))
    assert result.lost == 0
    assert result.broken == []
    assert result.receipt_s == sorted(result.receipt_s)
    assert result.at(1.0) == result.receipt_s[-1]


def test_fixed_intervals_lose_what_ours_serves() -> None:
    case = Case(10, 9, 1, SIGAP, limit_s=120)
    assert run(case).lost == 0
    fixed = run(replace(case, schedule=SCHEDULES["aloha"]))
    assert fixed.lost > 5
    assert fixed.at(0.99) is None


def test_the_same_seed_is_the_same_cell() -> None:
    case = Case(20, 9, 2, SIGAP, loss=0.2)
    assert run(case) == run(case)
    assert run(case).receipt_s != run(replace(case, seed=2)).receipt_s


def test_nobody_sends_more_than_the_hour_allows() -> None:
    # Every two seconds for half an hour would be 185 s of airtime.
    result = run(Case(2, 9, 1, SCHEDULES["aloha"], loss=1.0, limit_s=1800))
    assert result.lost == 2
    assert 35_000 < result.busiest_ms <= 36_000
    assert result.broken == []


def test_one_cell_by_command() -> None:
    ran = CliRunner().invoke(sigap, ["lora", "cell", "--buttons", "5", "--sf", "7", "--channels", "8", "--json"])
    assert ran.exit_code == 0, ran.output
    told = json.loads(ran.stdout)
    assert (told["buttons"], told["sf"], told["channels"], told["lost"], told["broken"]) == (5, 7, 8, 0, 0)
    assert CliRunner().invoke(sigap, ["lora", "cell", "--sf", "11"]).exit_code == 2


def test_the_pages_airtimes_are_those_that_the_command_prints() -> None:
    ran = CliRunner().invoke(sigap, ["lora", "airtime"])
    assert ran.exit_code == 0
    printed = [re.findall(r"\d+|none", line) for line in ran.stdout.splitlines()[1:]]
    rows = re.findall(r"^\| (SF\d+ .*) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert [re.findall(r"\d+|none", row) for row in rows] == printed
