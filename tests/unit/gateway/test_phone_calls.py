"""A phone that waits for its answer by HTTPS: what is told it meanwhile is told, and what nobody waits for is not."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.bases.ways import Ways
from gateway.ingest import calls as calls_module
from gateway.ingest import phone
from gateway.ingest.calls import GENERATION, Busy
from gateway.ingest.intake import Intake
from gateway.ingest.link import Link
from tests.unit.gateway.outbox_lab import lab_store

NAME = "0000a1b2"


def test_what_is_told_to_who_waits_is_told(tmp_path: Path) -> None:
    async def told() -> None:
        intake = Intake()
        link = Link(intake, host="127.0.0.1", port=1, username="gateway", password="never used")
        with lab_store(tmp_path) as store:
            ways, confirmed = Ways(link, intake, [], store), []
            asked = asyncio.create_task(ways.calls.ask(NAME, b"message"))
            (message,) = await asyncio.to_thread(intake.drain, 10, 5.0)
            assert (message.topic, message.generation, message.qos) == (phone.up(NAME), GENERATION, 1)
            # A stage of an operator's step comes while it waits: its delivery is done, and need not be tried again.
            assert ways.publish(phone.down(NAME), b"stage", lambda: confirmed.append("stage"))
            assert ways.publish(phone.down(NAME), b"receipt")
            assert ways.acknowledge(message)
            assert await asyncio.wait_for(asked, 5) == [b"stage", b"receipt"]
            assert confirmed == ["stage"]
            # Nobody waits any more, and there is no broker.
            assert not ways.publish(phone.down(NAME), b"later", lambda: confirmed.append("later"))
            assert not ways.acknowledge(message)
            assert confirmed == ["stage"]

    asyncio.run(told())


def test_only_so_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    async def wait() -> None:
        monkeypatch.setattr(calls_module, "MOST_WAITING", 2)
        waiting = calls_module.Calls(Intake())
        tasks = [asyncio.create_task(waiting.ask(NAME, b"x", 0.2)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Busy):
            await waiting.ask(NAME, b"x")
        # Not committed in time: it is told, and its place is free again.
        assert [type(each) for each in await asyncio.gather(*tasks, return_exceptions=True)] == [TimeoutError] * 2
        with pytest.raises(TimeoutError):
            await waiting.ask(NAME, b"x", 0.01)

    asyncio.run(wait())
