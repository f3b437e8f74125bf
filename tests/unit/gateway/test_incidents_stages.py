"""The states of an incident, as pure functions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.incidents.stages import STAGES, STATES, Event, advance, fold, stage_to_tell

OPENED = {
    "activation": 1,
    "pressed_at": 5,
    "age_is_minimum": False,
    "silent": False,
    "bearer": "wifi",
    "lat_e7": None,
}


def opened() -> Event:
    return Event("opened", 10, "device:0000a1b2", OPENED)


@given(st.lists(st.sampled_from(STATES[1:])))
def test_states_only_go_forward_and_closed_is_the_end(stages: list[str]) -> None:
    state = STATES[0]
    for stage in stages:
        after = advance(state, stage)
        if after is None:
            assert STATES.index(stage) <= STATES.index(state)
        else:
            assert after == stage
            assert state != "closed"
            state = after
    assert state == max([STATES[0], *stages], key=STATES.index)


def test_what_is_no_stage_is_an_error() -> None:
    for stage in ("open", "accepted", "resolved", ""):
        with pytest.raises(ValueError, match="not a stage"):
            advance("open", stage)


def test_what_a_button_is_told_beyond_its_receipt() -> None:
    assert stage_to_tell("open", False) is None
    assert stage_to_tell("open", True) == "accepted"
    for state in STATES[1:]:
        assert stage_to_tell(state, True) == stage_to_tell(state, False) == state
        assert state in STAGES


def test_a_history_that_cannot_be_is_not_folded() -> None:
    acknowledged = Event("acknowledged", 11, "backend:police", {})
    closed = Event("closed", 12, "backend:police", {"disposition": "false"})
    assert fold([opened(), acknowledged, closed]).disposition == "false"
    for history in ([], [acknowledged], [opened(), opened()], [opened(), closed, acknowledged]):
        with pytest.raises(ValueError, match=r"\w"):
            fold(history)


def test_events_for_the_audit_change_nothing() -> None:
    state = fold([opened()])
    for kind in ("told", "refused", "something of a later version"):
        assert fold([opened(), Event(kind, 99, "gateway", {})]) == state
