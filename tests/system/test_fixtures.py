"""The fixtures of sigap.pytest_plugin, told as the stories that they are for."""

from __future__ import annotations

from sigap.story.gateway import Gateway
from sigap.story.police import Police
from sigap.story.virtual import Virtual
from sigap.story.world import Board


def test_a_shop_is_robbed(board: Board, gateway: Gateway, police: Police) -> None:
    board.press(3)
    alarm = gateway.waits_for_alarm(of=board)
    board.shows("received", within_s=1)
    police.accepts(alarm)
    gateway.operator.acknowledge(alarm)
    board.shows("acknowledged")


def test_one_press_in_virtual_time(virtual: Virtual) -> None:
    shop = virtual.board("shop")
    shop.press(3)
    alarm = virtual.gateway.waits_for_alarm(of=shop)
    shop.shows("received", within_s=1)
    virtual.passes(hours=1)
    virtual.gateway.operator.acknowledge(alarm)
    shop.shows("acknowledged", within_s=1)
    assert shop.said() == ["received", "acknowledged"]
