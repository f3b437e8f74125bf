"""`kill -9` of broker, gateway and outbox worker at random moments under load; tests/soak has twenty seeds of it."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from panic_wire import topics
from panic_wire.topics import device_name
from tests.system.crowd import Crowd
from tests.system.kill_lab import BROKER, GATEWAY, START_LIMIT_S, Parts, Police, live_through, parts

SEEDS = (1, 2, 3)
DEVICES, ALARMS, PER_S = 60, 240, 200.0
WAVES = 4  # one after the other, so at least as many batches


@pytest.mark.timeout(400)  # nine times a Python process starts, beside other tests
def test_whatever_is_killed_every_alarm_is_at_the_police(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with parts(tmp_path, DEVICES) as one:
        lines = asyncio.run(live(one))
    with capsys.disabled():
        print("", *lines, sep="\n")


async def live(one: Parts) -> list[str]:
    police = Police()
    async with police.served(one.police_port), Crowd(one.devices, one.port) as crowd:
        await one.start_all()
        await crowd.all_connected(START_LIMIT_S)
        return [await live_through(one, police, crowd, seed, ALARMS, PER_S, kills=1) for seed in SEEDS]


@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace, which reads a process's system calls")
def test_each_batch_is_on_the_disk_before_its_first_receipt_leaves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`kill -9` cannot show it, as the page cache survives that. For each receipt: its frame came, then a whole
    fdatasync of the log, begun and ended, and only then the receipt left."""
    trace = tmp_path / "trace"
    calls = "trace=fdatasync,fsync,write,sendto,send,sendmsg,recvfrom,recv,recvmsg,read"
    strace = ("strace", "-f", "--seccomp-bpf", "-yy", "-s", "65536", "-e", calls, "-o", str(trace))
    with parts(tmp_path, DEVICES, apart=False) as one:
        asyncio.run(press_under(one, strace))
        names = [device_name(each.id) for each in one.devices]
    lines = trace.read_text(errors="replace").splitlines()
    syncs = list(whole_syncs(lines))
    used = set()
    for name in names:
        came = next(i for i, line in enumerate(lines) if f"{topics.up(name)}" in line and RECEIVES.search(line))
        left = next(i for i, line in enumerate(lines) if f"{topics.down(name)}" in line and SENDS.search(line))
        between = [sync for sync in syncs if came < sync[0] and sync[1] < left]
        assert between, f"the receipt to {name} left (line {left}) without a sync after its frame (line {came})"
        used.add(between[0])
    with capsys.disabled():
        print(f"\n{len(names)} receipts of {len(used)} batches, each after a sync of its own")
    assert len(used) >= WAVES


RECEIVES = re.compile(r"\b(recvfrom|recv|recvmsg|read)\b")
SENDS = re.compile(r"\b(sendto|send|sendmsg|write)\(")
SYNC = re.compile(r"^(\d+) +(?:\d+[.:\d]* )?(fdatasync|fsync)\(\d+<[^>]*sigap\.db-wal>(\) += 0| <unfinished)")
RESUMED = re.compile(r"^(\d+) +<\.\.\. (fdatasync|fsync) resumed>\) += 0")


def whole_syncs(lines: list[str]) -> Iterator[tuple[int, int]]:
    """Lines at which a sync of the write-ahead log began and ended, with success."""
    begun: dict[str, int] = {}
    for number, line in enumerate(lines):
        if found := SYNC.match(line):
            if found[3].startswith(")"):
                yield number, number
            else:
                begun[found[1]] = number
        elif (found := RESUMED.match(line)) and found[1] in begun:
            yield begun.pop(found[1]), number


async def press_under(one: Parts, strace: tuple[str, ...]) -> None:
    police = Police()
    async with police.served(one.police_port), Crowd(one.devices, one.port) as crowd:
        one.start(BROKER)
        one.start(GATEWAY, strace)
        async with asyncio.timeout(START_LIMIT_S):
            while "connected to the broker" not in one.log(GATEWAY):
                await asyncio.sleep(0.05)
        await crowd.all_connected(START_LIMIT_S)
        for wave in range(WAVES):
            buttons = crowd.buttons[wave::WAVES]
            await crowd.press_at_rate(len(buttons), 100.0, buttons)
            await crowd.all_receipted(START_LIMIT_S)
