"""What the desk says of cancels, of buttons that were moved, and of troubles."""

from __future__ import annotations

from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from gateway.desk import look
from gateway.desk.labels import CANCELS, event_words
from gateway.desk.trouble_words import TROUBLES, todo_words, trouble_words, value_words
from gateway.supervision import bases
from gateway.supervision.troubles import SILENT
from gateway.words import translator
from panic_wire.frames import ALARM_UPDATE, TROUBLE_NAMES
from tests.unit.gateway.store_lab import new_store
from tests.unit.gateway.test_incidents_book import NOW, Desk

ZONE = ZoneInfo("Asia/Jakarta")
S = 1_000_000


def test_every_kind_has_words_and_what_to_do_in_both_languages() -> None:
    assert set(TROUBLES) == {*TROUBLE_NAMES.values(), SILENT, *bases.TROUBLES.values()}
    indonesian, english = translator("id"), translator("en")
    for name in (*TROUBLES, "200"):
        for said in (trouble_words, todo_words):
            assert said(name, indonesian) != said(name, english)
    assert trouble_words("200", english) == "trouble number 200"
    assert value_words("network", 4, english) == "a login page answers instead of the internet"
    assert value_words("network", 9, english) == "(9)"
    assert value_words("site_moved", 120, english) == "120 m"
    for each in CANCELS.values():
        assert indonesian(each) != each
    assert event_words("cancelled", {"duress": True}, english).startswith("CANCELLED UNDER DURESS")
    late = {"bearer": "wifi", "late_ms": 1460}
    assert event_words("came_too", late, english) == "came by the other way too (WiFi, +1.5 s)"
    assert event_words("opened", {"bearer": "lora"}, english) == "emergency button pressed (LoRa)"
    assert event_words("opened", {"bearer": "wifi"}, english) == "emergency button pressed"
    assert value_words("radio", 2, english) == "it is always busy"
    assert event_words("cancelled", {"duress": False}, english) == "the person says that it was a mistake"


def test_duress_comes_first_and_a_mistake_changes_no_place(tmp_path: Path) -> None:
    with new_store(tmp_path / "sigap.db") as store:
        desk = Desk(store)
        first = desk.take(1, activation=1).incident_id
        desk.stage(first, "acknowledged", NOW + S, "operator:Siti")
        desk.cancel(1, NOW + 2 * S, duress=True)
        with store.write() as conn:
            from gateway.registry.devices import add_device

            desk.device = add_device(conn, name="shop-2", now_us=NOW)
        second = desk.take(1, activation=1, at=NOW + 3 * S).incident_id
        with store.read() as conn:
            rows = look.queue(conn, ZONE)
            assert [(row["id"], row["cancel"]) for row in rows] == [(first, "duress"), (second, None)]
            assert look.unseen(conn) == 1
        desk.cancel(1, NOW + 4 * S)
        desk.stage(first, "closed", NOW + 5 * S, "operator:Siti", disposition="genuine")
        with store.read() as conn:
            rows = look.queue(conn, ZONE)
            assert [(row["id"], row["cancel"]) for row in rows] == [(second, "mistake"), (first, "duress")]
            assert look.unseen(conn) == 1  # it sounds still


def test_positions_that_follow_each_other_are_one_line(tmp_path: Path) -> None:
    with new_store(tmp_path / "sigap.db") as store:
        desk = Desk(store)
        incident = desk.take(1).incident_id
        for counter in range(2, 8):
            north = {"lat_e7": -70_000_000 + counter * 10_000, "lon_e7": 1_104_000_000, "fix_age_s": 0}
            desk.take(counter, at=NOW + counter * 10 * S, kind=ALARM_UPDATE, moved=counter > 6, **north)
        with store.read() as conn:
            found = look.incident(conn, incident, ZONE)
        assert found is not None
        assert [(each["kind"], each["data"].get("times")) for each in found["events"]] == [
            ("opened", None),
            ("position", 6),
        ]
        assert len(found["trail"]) == 6
        assert (found["moved"], found["doubtful"], found["has_fix"]) == (True, False, True)


def test_what_is_shown_is_newer_with_each_event_and_each_trouble(tmp_path: Path) -> None:
    from gateway.outbox.rows import count
    from gateway.supervision.troubles import CHANGES

    with new_store(tmp_path / "sigap.db") as store:
        desk, seen = Desk(store), []
        for counter in (1, 2, 3):
            desk.take(counter, activation=counter, at=NOW + counter * S)
            with store.write() as conn:
                seen.append(look.newest_event(conn))
                count(conn, CHANGES)
                seen.append(look.newest_event(conn))
        assert seen == sorted(set(seen))


@pytest.mark.parametrize("language", ["id", "en"])
def test_no_word_for_a_cancel_can_be_mistaken_for_another(language: str) -> None:
    translate = translator(language)
    assert len({translate(each).casefold() for each in CANCELS.values()}) == len(CANCELS)
