"""The gateway's end of a base station's serial line, over a real PTY: lost, spoilt, pulled at any byte, gone mad."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import random
import struct
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.bases import port as module
from gateway.bases.port import BasePort
from gateway.ingest.intake import Intake, Uplink
from gateway.supervision.bases import CUT_OFF, ONLINE, SILENT
from panic_wire import base_line as line

BASE, BOOT = 0xB0000001, 77
HELLO = struct.pack(line.HELLO_LAYOUT, BASE, 0, 1, 0, BOOT, 921_400_000, 9, 921_800_000)
LIMIT_S = 10.0


class Base:
    """The other end: a PTY that can be pulled out and put in again under one name."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "base"
        self.master = -1
        self.plug()

    def plug(self) -> None:
        self.master, slave = pty.openpty()
        tty.setraw(slave)
        self.path.unlink(missing_ok=True)
        self.path.symlink_to(os.ttyname(slave))
        os.close(slave)
        os.set_blocking(self.master, False)
        self._lines = line.Lines()

    def pull(self) -> None:
        os.close(self.master)

    def say(self, kind: int, payload: bytes = b"") -> None:
        self.write(line.pack(kind, payload))

    def write(self, data: bytes) -> None:
        os.write(self.master, data)

    def heard(self) -> list[tuple[int, bytes]]:
        """What the gateway has said since it was last asked."""
        with contextlib.suppress(BlockingIOError, OSError):
            return [found for text in self._lines.feed(os.read(self.master, 65536)) if (found := line.unpack(text))]
        return []

    async def hears(self, kind: int) -> bytes:
        async with asyncio.timeout(LIMIT_S):
            while True:
                for found, payload in self.heard():
                    if found == kind:
                        return payload
                await asyncio.sleep(0.005)


def up(seq: int, frame: bytes = b"frame") -> bytes:
    return struct.pack(line.UP_LAYOUT, seq, 5, -90, 4, 0) + frame


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Base]:
    monkeypatch.setattr(module, "OPEN_EVERY_S", 0.02)
    monkeypatch.setattr(module, "ASK_EVERY_S", 0.05)
    monkeypatch.setattr(module, "SAY_AGAIN_S", 0.03)
    one = Base(tmp_path)
    yield one
    with contextlib.suppress(OSError):
        one.pull()


@contextlib.asynccontextmanager
async def attended(base: Base, intake: Intake | None = None):
    intake = Intake() if intake is None else intake
    port = BasePort(str(base.path), intake)
    task = asyncio.create_task(port.run())
    try:
        yield port, intake
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(holds, what: str) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not holds():
            await asyncio.sleep(0.005)


async def introduced(base: Base, port: BasePort) -> None:
    await base.hears(line.ASK)
    base.say(line.HELLO, HELLO)
    await until(lambda: port.state.state == ONLINE, "hello")


def drained(intake: Intake) -> list[Uplink]:
    return intake.drain(1000, 0.0)


def test_it_asks_who_is_there_and_takes_a_frame_once_until_it_is_committed(base: Base) -> None:
    async def main() -> None:
        async with attended(base) as (port, intake):
            base.write(b"ets Jul 29 2019 12:21:46\r\n")
            base.say(line.UP, up(1))  # before it has said who it is: it says it again
            await introduced(base, port)
            assert port.name == "b0000001"
            assert port.state.beat["factor"] == 9
            for _ in range(3):
                base.say(line.UP, up(1))
            await until(lambda: len(intake) == 1, "the frame")
            (message,) = drained(intake)
            assert (message.topic, message.qos, message.mid) == ("sigap/v1/b/b0000001/up", 1, 1)
            assert message.payload[11:] == b"frame"
            base.say(line.UP, up(1))
            base.say(line.UP, up(2))
            await until(lambda: len(intake) == 1, "the next")
            assert [each.mid for each in drained(intake)] == [2]
            assert port.took(BOOT, 1)
            assert await base.hears(line.TOOK) == struct.pack(line.TOOK_LAYOUT, BOOT, 1)
            assert not port.took(BOOT + 1, 2), "of another life of the base"

    asyncio.run(main())


def test_an_intake_that_is_full_calls_nothing_safe(base: Base) -> None:
    async def main() -> None:
        async with attended(base, Intake(most_qos1=1)) as (port, intake):
            await introduced(base, port)
            base.say(line.UP, up(1))
            base.say(line.UP, up(2))
            await until(lambda: len(intake) == 1, "one")
            drained(intake)
            base.say(line.UP, up(2))
            await until(lambda: len(intake) == 1, "said again, it finds room")
            assert [each.mid for each in drained(intake)] == [2]

    asyncio.run(main())


def test_what_is_to_be_sent_is_said_until_the_base_has_it(base: Base) -> None:
    async def main() -> None:
        async with attended(base) as (port, _):
            assert not port.send(b"early")
            await introduced(base, port)
            assert port.send(b"123456789")
            assert port.send(b"123456789"), "the same is said once"
            said = [await base.hears(line.DOWN) for _ in range(3)]
            assert set(said) == {struct.pack(">H", 1) + b"123456789"}
            base.say(line.DONE, struct.pack(line.DONE_LAYOUT, 1, line.QUEUED))
            await asyncio.sleep(0.15)
            base.heard()
            await asyncio.sleep(0.15)
            assert not [kind for kind, _ in base.heard() if kind == line.DOWN]
            for number in range(module.MOST_DOWN):
                assert port.send(number.to_bytes(9, "big"))
            assert not port.send(b"too much")

    asyncio.run(main())


def test_the_cable_may_be_pulled_at_any_byte(base: Base) -> None:
    whole = line.pack(line.UP, up(5))

    async def main() -> None:
        async with attended(base) as (port, intake):
            for cut in range(0, len(whole) + 1, 7):
                await introduced(base, port)
                base.write(whole[:cut])
                base.pull()
                await until(lambda: port.state.state == SILENT, "gone")
                base.plug()
            await introduced(base, port)
            base.write(whole)
            await until(lambda: len(intake) > 0, "the frame")
            assert {each.payload for each in drained(intake)} == {up(5)}

    asyncio.run(main())


def test_noise_costs_lines_and_nothing_else(base: Base) -> None:
    draw = random.Random(5)

    def noisy(data: bytes) -> bytes:
        return bytes(draw.randrange(256) if draw.random() < 0.01 else each for each in data)

    async def main() -> None:
        async with attended(base) as (port, intake):
            await introduced(base, port)
            wanted = {up(seq, draw.randbytes(46)) for seq in range(40)}
            got: set[bytes] = set()
            async with asyncio.timeout(LIMIT_S):
                while len(got) < len(wanted):
                    for payload in wanted - got:
                        base.write(noisy(line.pack(line.UP, payload)))
                    await asyncio.sleep(0.01)
                    got |= {each.payload for each in drained(intake)}
            assert got == wanted
            assert port.state.bad_lines > 0

    asyncio.run(main())


def test_one_that_goes_mad_is_cut_off_and_the_others_are_not(base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CUT_OFF_S", 0.2)

    async def main() -> None:
        async with attended(base) as (port, intake):
            await introduced(base, port)
            flood = b"".join(line.pack(line.UP, up(seq)) for seq in range(20))
            async with asyncio.timeout(LIMIT_S):
                while port.state.state != CUT_OFF:
                    with contextlib.suppress(BlockingIOError):
                        base.write(flood)
                    await asyncio.sleep(0.001)
            assert "lines in" in str(port.state.error)
            assert len(intake) <= 20
            base.pull()
            base.plug()
            await introduced(base, port)  # it may come back

    asyncio.run(main())


def test_one_that_says_nothing_is_silent(base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SILENT_S", 0.3)

    async def main() -> None:
        async with attended(base) as (port, _):
            await introduced(base, port)
            beat = struct.pack(line.BEAT_LAYOUT, 10, 2, 1, 3, 0, 0, 400, 0)
            base.say(line.BEAT, beat)
            await until(lambda: port.state.beat.get("heard") == 2, "the beat")
            await until(lambda: port.state.state == SILENT, "silence")
            await introduced(base, port)

    asyncio.run(main())


def test_a_port_that_is_not_there_is_waited_for(tmp_path: Path, base: Base) -> None:
    async def main() -> None:
        base.path.rename(tmp_path / "elsewhere")
        async with attended(base) as (port, _):
            await until(lambda: port.state.error is not None, "the error")
            (tmp_path / "elsewhere").rename(base.path)
            await introduced(base, port)
            assert port.state.error is None

    asyncio.run(main())
