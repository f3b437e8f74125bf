"""A test alarm by the real firmware: apart from real ones, told to nobody who did not ask, shown in its own way."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from gateway.clock import now_us
from gateway.registry.people import add_relative
from gateway.store.schema import incidents
from simulator.commands import HOLD
from simulator.observe import TEST_PATTERNS, words
from tests.system.local_lab import CITIZEN, committed, event_kinds, local, received_by_police, running, wait_until

NAME = CITIZEN.name


def test_a_test_goes_all_the_way_and_alarms_nobody(tmp_path: Path) -> None:
    with running(local(tmp_path)) as one, one.world() as world:
        channel = f"mailto://127.0.0.1:{one.ports.mail}/?from=sigap@example.org&to=uji@example.org&mode=insecure"
        with one.store.write() as conn:
            add_relative(conn, owner=CITIZEN.owner, name="Uji", channel=channel, wants_tests=True, now_us=now_us())
        world.press(NAME, script=HOLD)
        world.press(NAME)
        (alarm,) = wait_until(lambda: committed(one), "the test alarm")
        said = lambda: [said.word for said in words(world.pins(NAME), patterns=TEST_PATTERNS)]  # noqa: E731
        wait_until(lambda: "test received" in said(), "the light that says: test received")
        assert said()[0] == "test mode"
        with one.store.read() as conn:
            (incident,) = conn.execute(sa.select(incidents)).all()
        assert incident.test
        assert alarm["incident_id"] == incident.id
        (told,) = received_by_police(one, 1)
        assert told["body"]["data"]["test"] is True
        wait_until(lambda: event_kinds(one).count("relatives") == 1, "the message to who asked for tests")
        (mail,) = one.mails.glob("*.eml")
        assert "uji@example.org" in mail.read_text()
        world.power(NAME, False)
        world.power(NAME, True)
        # A test is in RAM only; the next three presses are real.
        wait_until(lambda: "sigap: mqtt: connected" in world.console(NAME)[-3:], "the board's start")
        world.press(NAME, script=[[500, 0], [590, 1], [800, 0], [890, 1], [1100, 0], [1190, 1]])
        wait_until(lambda: len(committed(one)) == 2, "the real alarm")
        with one.store.read() as conn:
            found = conn.execute(sa.select(incidents.c.test).order_by(incidents.c.opened_at)).scalars().all()
        assert found == [True, False]
