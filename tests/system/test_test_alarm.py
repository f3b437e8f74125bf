"""A test alarm by the real firmware: apart from real ones, told to nobody who did not ask, shown in its own way."""

from __future__ import annotations

from sigap.story.gateway import Gateway
from sigap.story.parts import Relatives
from sigap.story.police import Police
from sigap.story.world import Board


def test_a_test_goes_all_the_way_and_alarms_nobody(
    board: Board, gateway: Gateway, police: Police, relatives: Relatives
) -> None:
    relatives.add("uji", of=board, wants_tests=True)
    board.hold()
    board.shows("test mode")
    board.press(3)
    alarm = gateway.waits_for_alarm(of=board)
    assert alarm.test
    board.shows("test received")
    police.accepts(alarm)
    (told,) = police.received(alarm)
    assert told["body"]["data"]["test"] is True
    gateway.waits_for("relatives", alarm)
    (mail,) = relatives.mails()
    assert "uji@example.org" in mail["to"]
    board.power(False)
    board.power(True)
    # A test is in RAM only; the next three presses are real.
    board.press(3)
    assert not gateway.waits_for_alarm(of=board).test
    assert [one.test for one in gateway.alarms()] == [True, False]
