"""Fixtures that let a system test read as a story; each starts real parts, and they are gone when the test ends.

Where Sigap is installed, pytest finds them by itself; elsewhere: `pytest_plugins = ["sigap.pytest_plugin"]`.

    def test_a_shop_is_robbed(board, gateway, police):
        board.press(3)
        alarm = gateway.waits_for_alarm(of=board)
        board.shows("received", within_s=1)
        police.accepts(alarm)
        gateway.operator.acknowledge(alarm)
        board.shows("acknowledged")

Nothing but pytest is imported until a test asks for a fixture. Only what a test names is started: `board` alone is a
board without a broker; `police` needs a gateway, and a gateway a broker. Boards come last, whatever the order.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from sigap.story.gateway import Gateway
    from sigap.story.parts import Broker, Relatives
    from sigap.story.police import Police
    from sigap.story.stage import Stage
    from sigap.story.virtual import Virtual
    from sigap.story.world import Board, World

BEFORE_BOARDS = ("broker", "gateway", "police", "relatives")


@pytest.fixture
def sigap_stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """What the other fixtures share: folder, ports, processes. `sigap_stage.local` is the sigap.local.Local."""
    from sigap.story.stage import PARTS, Stage

    with Stage(tmp_path_factory.mktemp("sigap")) as stage:
        # Side by side: most of a start is the import of libraries.
        stage.start(process for fixture, process in PARTS.items() if fixture in request.fixturenames)
        yield stage


@pytest.fixture
def broker(sigap_stage: Stage) -> Broker:
    """A real Mosquitto: kill(), start(), frozen()."""
    from sigap.story.parts import Broker

    part = Broker(sigap_stage)
    part.wait_ready()
    return part


@pytest.fixture
def gateway(sigap_stage: Stage, broker: Broker) -> Gateway:
    """A real gateway: waits_for_alarm(), waits_for(), alarms(), stages(), operator, kill(), start(), frozen()."""
    from sigap.story.gateway import Gateway

    part = Gateway(sigap_stage)
    part.wait_ready()
    return part


@pytest.fixture
def police(sigap_stage: Stage, gateway: Gateway) -> Police:
    """Another police system's desk, which accepts by itself: refuses(), fails(), accepts(), acknowledges() ..."""
    from sigap.story.police import Police

    part = Police(sigap_stage, gateway)
    part.wait_ready()
    return part


@pytest.fixture
def relatives(sigap_stage: Stage, gateway: Gateway) -> Relatives:
    """A real mail server for the owners' relatives: gets_mail(), mails(), add(), kill(), start()."""
    from sigap.story.parts import Relatives

    part = Relatives(sigap_stage)
    part.wait_ready()
    return part


@pytest.fixture
def world(request: pytest.FixtureRequest, sigap_stage: Stage) -> World:
    """Makes boards: world.board("shop", silent=True, site=(lat, lon))."""
    from sigap.story.world import World

    # A heartbeat that no gateway has subscribed to is lost, so what hears the boards comes first.
    for name in BEFORE_BOARDS:
        if name in request.fixturenames:
            request.getfixturevalue(name)
    return World(sigap_stage)


@pytest.fixture
def board(world: World) -> Board:
    """One button with a light and a receiver: press(), hold(), shows(), stays_dark(), power(), wifi(), sky() ..."""
    return world.board("board")


@pytest.fixture
def virtual(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Virtual]:
    """A world in virtual time: board(), gateway, broker, passes()."""
    from sigap.story.virtual import Virtual

    with Virtual(tmp_path_factory.mktemp("virtual")) as virtual:
        yield virtual
