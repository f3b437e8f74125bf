"""Alarms of one emergency are one incident: joined by the gateway, merged and split by operators.

All of it in any order is in test_incidents_machine.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway.commands.views import incidents
from gateway.incidents.facts import cancel_says
from gateway.incidents.joining import SITE_WITHIN_US
from gateway.incidents.merging import CannotBeMoved
from gateway.incidents.rebuild import check, rebuild
from gateway.store import schema
from panic_wire.frames import TEST
from tests.unit.gateway.incident_town import NOW, S, Town


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    one = Town(tmp_path / "sigap.db")
    yield one
    one.store.close()


def test_two_buttons_of_one_site_are_one_emergency(town: Town) -> None:
    first = town.press("till").incident_id
    town.stage(first, "acknowledged")
    joined = town.press("back", at=NOW + 60 * S)
    assert (joined.incident_id, joined.stage_to_tell) == (first, "acknowledged")
    assert town.kinds(first) == ["opened", "acknowledged", "alarm_joined"]
    apart = [town.press(name, at=NOW + 61 * S).incident_id for name in ("branch", "next", "carried")]
    assert len({first, *apart}) == 4
    data = town.told("backend:police")[2]["data"]
    assert (data["device_name"], data["change"]) == ("till", "alarm_joined")
    assert [each["device_name"] for each in data["other_devices"]] == ["back"]
    assert len(data["alarms"]) == 2
    assert len(town.told("relative:1")) == 2  # of Toko: the shop, and its branch; not the second button again


@pytest.mark.parametrize(
    ("at", "more"),
    [
        (NOW + SITE_WITHIN_US + S, {}),
        (NOW + 5 * S, {"age_ms": 1000 * (SITE_WITHIN_US // S + 10)}),  # late: it was pressed long before
        (NOW + S, {"moved": True}),
        (NOW + S, {"kind": TEST}),
    ],
)
def test_what_is_not_surely_one_emergency_stays_apart(town: Town, at: int, more: dict[str, Any]) -> None:
    first = town.press("till").incident_id
    assert town.press("back", at=at, **more).incident_id != first


def test_pressing_again_raises_the_urgency_until_somebody_has_seen_it(town: Town) -> None:
    incident = town.press("till").incident_id
    assert town.row(incident).raised == 0
    town.press("till", 2)
    assert town.row(incident).raised == 1
    town.stage(incident, "dispatched", unit="Patroli 1")
    assert town.row(incident).raised == 0
    town.press("till", 3)
    assert town.stage(incident, "acknowledged")
    assert not town.stage(incident, "acknowledged")
    assert (town.row(incident).raised, town.row(incident).state) == (0, "dispatched")
    assert town.kinds(incident)[-2:] == ["seen", "refused"]
    assert town.lights("till") == [(1, "dispatched"), (2, "dispatched")]  # no light goes back


def test_a_merge_takes_no_stage_back_and_tells_everybody_their_own(town: Town) -> None:
    shop, person = town.press("next").incident_id, town.press("carried", at=NOW + S).incident_id
    town.stage(person, "dispatched", unit="Patroli 1")
    assert town.merge(shop, person, NOW + 9 * S) == shop
    gone, kept = town.row(person), town.row(shop)
    assert (gone.state, gone.disposition, gone.merged_into) == ("closed", None, shop)
    assert (kept.state, kept.merged_into) == ("dispatched", None)
    assert (town.lights("next"), town.lights("carried")) == ([(1, "dispatched")], [(1, "dispatched")])
    warung, warga = (town.told(f"relative:{number}") for number in (2, 3))
    assert [each["change"] for each in warung] == [each["change"] for each in warga] == ["opened", "dispatched"]
    assert town.police()[-2:] == [("merged", person, shop), ("updated", shop, person)]
    # From now on each person has the stages of the one incident, and relatives read of their own only.
    town.stage(shop, "closed", disposition="genuine")
    assert town.lights("carried")[-1] == (1, "closed")
    for told, owner in ((town.told("relative:2"), "Warung"), (town.told("relative:3"), "Warga")):
        assert (told[-1]["change"], told[-1]["data"]["owner"]["name"]) == ("closed", owner)
        assert len(told[-1]["data"]["alarms"]) == 1
        assert told[-1]["data"]["other_devices"] == []


def test_what_comes_late_of_a_merged_incident_goes_where_it_went(town: Town) -> None:
    kept, gone = town.press("next").incident_id, town.press("carried", at=NOW + S).incident_id
    town.merge(kept, gone)
    # The police system has not heard of the merge yet.
    assert town.stage(gone, "dispatched", actor="backend:police", unit="Patroli 1")
    assert town.row(kept).state == "dispatched"
    assert town.lights("carried") == [(1, "dispatched")]
    assert not town.stage(gone, "closed", actor="backend:police", disposition="false")  # it closes its double
    assert town.row(kept).state == "dispatched"
    assert town.kinds(gone) == ["opened", "merged_into", "refused"]
    town.stage(gone, "accepted", actor="backend:police")
    assert (town.row(gone).accepted, town.row(kept).accepted) == (True, False)
    late = town.press("carried", 1, at=NOW + 9 * S, age_ms=8000, lat_e7=-69_000_000, lon_e7=1_100_000_000)
    assert (late.incident_id, late.stage_to_tell) == (kept, "dispatched")
    assert town.press("carried", 2, at=NOW + 9 * S).incident_id == kept
    # And a second merge on top of it.
    last = town.press("branch").incident_id
    town.merge(last, kept)
    assert town.stage(gone, "on_scene", actor="backend:police")
    assert town.row(last).state == "on_scene"


def test_a_split_begins_anew_and_says_what_was_promised(town: Town) -> None:
    both = town.press("till").incident_id
    town.press("back", at=NOW + S)
    town.press("till", 2, at=NOW + 2 * S)
    town.stage(both, "dispatched", unit="Patroli 1")
    apart = town.split(both, "till", NOW + 9 * S)
    assert (town.row(apart).state, town.row(apart).promised) == ("open", True)
    assert (town.row(both).state, town.row(both).promised) == ("dispatched", False)
    assert town.row(both).device_id == town.devices["back"].id  # it goes by the button that is left
    assert town.police()[-2:] == [("opened", apart, both), ("split", both, apart)]
    data = town.told("backend:police")[-1]["data"]
    assert (data["device_name"], len(data["alarms"]), data["other_devices"]) == ("back", 1, [])
    # Each button goes on in its own.
    assert town.press("till", 3, at=NOW + 10 * S).incident_id == apart
    assert town.press("back", 2, at=NOW + 10 * S).incident_id == both
    town.stage(both, "closed", disposition="genuine")
    assert "closed" not in [stage for _, stage in town.lights("till")]
    town.stage(apart, "dispatched", unit="Patroli 2")
    assert not town.row(apart).promised


def test_what_cannot_be_merged_or_split_says_why_and_changes_nothing(town: Town) -> None:
    one, test = town.press("till").incident_id, town.press("carried", kind=TEST).incident_id
    closed = town.press("next").incident_id
    town.stage(closed, "closed", disposition="false")
    for other, why in ((one, "itself"), (test, "stay apart"), (closed, "closed")):
        with pytest.raises(CannotBeMoved, match=why):
            town.merge(one, other)
    for name in ("till", "back"):
        with pytest.raises(CannotBeMoved, match="nothing to split"):
            town.split(one, name)
    assert town.kinds(one) == ["opened"]


def test_one_of_two_who_says_it_was_a_mistake_does_not_speak_for_the_other(town: Town) -> None:
    incident = town.press("till").incident_id
    town.press("back", at=NOW + S)

    def says() -> str | None:
        return cancel_says(town.rows(schema.alarms))

    town.cancel("back")
    assert says() == "others_in_danger"
    town.cancel("till")
    assert says() == "mistake"
    town.press("till", 2, at=NOW + 9 * S)
    assert says() == "still_in_danger"
    assert town.row(incident).state == "open"


def test_a_revoked_button_is_shown_and_nobody_is_told_until_an_operator_sends_somebody(town: Town) -> None:
    town.revoke("carried")
    incident = town.press("carried").incident_id
    assert town.row(incident).held
    assert town.press("carried", 2).incident_id == incident
    town.stage(incident, "acknowledged")
    assert (town.told("backend:police"), town.told("relative:3")) == ([], [])
    town.stage(incident, "dispatched", unit="Patroli 1")
    (event,) = town.told("backend:police")
    assert (event["type"], event["data"]["state"]) == ("id.sigap.incident.opened.v1", "dispatched")
    assert event["data"]["device_revoked"] is True
    assert [each["change"] for each in town.told("relative:3")] == ["dispatched"]
    # Closed without sending anybody, it stays inside; and no other button joins it.
    town.revoke("till")
    held = town.press("till").incident_id
    assert town.press("back").incident_id != held
    town.stage(held, "closed", disposition="false")
    assert held not in [subject for _, subject, _ in town.police()]


def test_what_was_lost_of_the_rows_comes_back_from_the_events(town: Town) -> None:
    first = town.press("till", silent=True, battery_mv=3900).incident_id
    town.press("next", at=NOW + S)
    town.merge(first, town.press("carried", at=NOW + 2 * S).incident_id)
    before = town.rows(schema.alarms), town.rows(schema.incidents)
    with town.store.write() as conn:
        conn.execute(schema.alarms.delete())
        conn.execute(schema.incidents.update().values(state="on_scene", merged_into=None, held=True))
    found = check(town.store)
    assert {each.what for each in found.differences} >= {"state", "merged_into", "held"}
    assert rebuild(town.store).differences == found.differences
    assert check(town.store).differences == []
    assert (town.rows(schema.alarms), town.rows(schema.incidents)) == before


def test_the_command_says_what_differs_and_mends_it(town: Town, tmp_path: Path) -> None:
    incident = town.press("till").incident_id
    config = tmp_path / "sigap.toml"
    config.write_text(f'[gateway]\ndata_dir = "{town.store.path.parent}"\n')  # its sigap.db, and master.key

    def call(*arguments: str) -> Result:
        return CliRunner().invoke(incidents, ["rebuild", *arguments, "--config", str(config)])

    assert call("--check").output == "1 incidents: 0 differences\n"
    with town.store.write() as conn:
        conn.execute(schema.incidents.update().values(state="closed"))
    done = call("--check")
    assert f"{incident} state: the row has 'closed', the events say 'open'" in done.output
    assert "differ from what the events say" in str(done.exception)
    assert town.row(incident).state == "closed"  # it changes nothing
    mended = json.loads(call("--json").output)
    assert (mended["left"], [each["what"] for each in mended["differences"]]) == (0, ["state"])
    assert town.row(incident).state == "open"
