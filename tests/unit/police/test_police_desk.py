"""The police desk: a real process, its page, and how it behaves when asked to."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.police import desk as desk_module
from simulator.police.desk import Behaviour, Desk
from tests.unit.police.police_lab import CALLBACK_SECRET, SECRET, PoliceDesk


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PoliceDesk]:
    folder = tmp_path_factory.mktemp("police")
    with PoliceDesk(folder, "--json-log", str(folder / "alarms.jsonl")) as desk:
        yield desk


def one(desk: PoliceDesk, webhook_id: str) -> dict[str, object]:
    return next(each for each in desk.received() if each["webhook_id"] == webhook_id)


def test_a_repeated_delivery_is_one_with_two_arrivals(desk: PoliceDesk) -> None:
    first, again = desk.send_alarm("d1", "repeated"), desk.send_alarm("d1", "repeated")
    assert first == again
    assert first[0] == 200
    assert first[1]["accepted"] is True
    received = one(desk, "d1")
    assert (received["arrivals"], received["answers"]) == (2, [200, 200])
    log = [json.loads(line) for line in (desk.log.parent / "alarms.jsonl").read_text().splitlines()]
    assert [entry["webhook_id"] for entry in log if entry["webhook_id"] == "d1"] == ["d1", "d1"]


def test_what_is_not_signed_well_is_not_received(desk: PoliceDesk) -> None:
    status, answer = desk.send_alarm("d2", secret=CALLBACK_SECRET)
    assert (status, answer["accepted"]) == (401, False)
    assert desk.request("alarms", b"{}")[0] == 401
    assert "d2" not in [each["webhook_id"] for each in desk.received()]


def test_it_refuses_fails_and_waits_when_told(desk: PoliceDesk) -> None:
    assert desk.behave(refuse=True)[0] == 200
    assert desk.send_alarm("d3")[0] == 403
    assert desk.behave(refuse=False, fail=2)[1] == {"slow_s": 0.0, "refuse": False, "fail": 2, "later": False}
    assert [desk.send_alarm("d3")[0] for _ in range(3)] == [503, 503, 200]
    desk.behave(later=True)
    status, answer = desk.send_alarm("d4")
    assert (status, answer["accepted"]) == (202, False)
    assert desk.behave(later=False)[1]["fail"] == 0


@pytest.mark.parametrize("wrong", [{"slow": 1}, {"fail": -1}, {"fail": True}, {"refuse": 1}, {"slow_s": "2"}])
def test_a_behaviour_that_it_does_not_know_changes_nothing(desk: PoliceDesk, wrong: dict[str, object]) -> None:
    before = desk.behave()
    assert desk.behave(**wrong)[0] == 400
    assert desk.behave() == before


def test_the_page_shows_what_came_and_lets_none_of_it_run(desk: PoliceDesk) -> None:
    hostile = "<script>alert(1)</script>"
    desk.send_alarm("d5", 'x"><b>', device_name=hostile, device="0000a1b2", owner={"name": hostile})
    status, body, headers = desk.request("")
    page = body.decode()
    assert status == 200
    assert page.startswith('<!doctype html>\n<html lang="id">')
    assert hostile not in page
    assert "&lt;script&gt;" in page
    assert 'x"><b>' not in page
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    # Nothing is fetched from elsewhere, and no attribute carries code or style.
    assert re.findall(r'(?:src|href|action)="(?!/|geo:)[^"]*"', page) == []
    assert re.findall(r'\s(?:on\w+|style)="', page) == []


def test_the_page_hears_of_a_change(desk: PoliceDesk) -> None:
    match = re.search(r"after=(\d+)", desk.request("")[1].decode())
    assert match
    desk.send_alarm("d6")
    status, body, _ = desk.request(f"changes?after={match[1]}")
    assert status == 200
    assert b"data: " in body


def test_a_page_of_another_site_presses_no_button(desk: PoliceDesk) -> None:
    desk.send_alarm("d7", "i7")
    assert desk.request("incidents/i7/acknowledged", b"", origin="http://evil.example")[0] == 403
    assert desk.request("behave", b"refuse=1", origin="http://evil.example")[0] == 403
    assert desk.request("incidents/i7/resolved", b"")[0] == 404
    assert desk.request("incidents/unknown/acknowledged", b"")[0] == 404
    assert desk.request("incidents/i7/closed", b"")[0] == 400


def test_without_a_callback_url_it_says_so(desk: PoliceDesk) -> None:
    desk.send_alarm("d8", "i8")
    answer = json.loads(desk.request("incidents/i8/acknowledged", b"")[1])
    assert (answer["ok"], answer["answer"]) == (False, "no --callback-url and --callback-secret were given")


def test_a_port_in_use_is_one_line_that_says_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "sigap.cli", "police-desk", "--port", str(port), "--secret", SECRET]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        f"sigap: port {port} of 127.0.0.1 is in use. End what listens there, or give --port another number.\n"
    )


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk_module, "DELIVERIES_KEPT", 3)
    monkeypatch.setattr(desk_module, "INCIDENTS_KEPT", 2)

    async def check() -> None:
        desk = Desk(Behaviour())
        for number in range(9):
            desk.take(desk.arrived(f"d{number}", {"data": {"incident": f"i{number}"}}))
        assert list(desk.received) == ["d6", "d7", "d8"]
        assert list(desk.incidents) == ["i7", "i8"]
        assert desk.arrivals == 9

    asyncio.run(check())


values = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
names = st.sampled_from(["slow_s", "refuse", "fail", "later"]) | st.text(max_size=5)


@given(st.dictionaries(names, values))
def test_a_behaviour_is_changed_whole_or_not_at_all(asked: dict[str, object]) -> None:
    behaviour, before = Behaviour(), Behaviour()
    try:
        behaviour.change(asked)
    except ValueError:
        assert behaviour == before
    else:
        assert {name: getattr(behaviour, name) for name in asked} == asked
        assert type(behaviour.fail) is int
