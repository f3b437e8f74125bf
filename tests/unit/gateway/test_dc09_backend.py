"""The DC-09 backend against receivers: an independent one (pysiaalarm), our reference, and one that misbehaves."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from pysiaalarm import CommunicationsProtocol, SIAAccount, SIAClient
from pysiaalarm.event import SIAEvent

from gateway.backend_settings import Dc09Settings
from gateway.backends.dc09 import backend as dc09
from gateway.backends.dc09.frame import framed, timestamp
from gateway.outbox.port import Outcome
from gateway.supervision import troubles
from panic_wire.frames import BATTERY_LOW, BUTTON_STUCK, TROUBLE, Header, Trouble
from sigap.processes import free_port
from simulator.police.receivers import dc09 as reference
from tests.unit.gateway.backend_lab import Accepted, delivery, settled
from tests.unit.gateway.outbox_lab import DEVICE, NOW, lab_store

KEY = "000102030405060708090A0B0C0D0E0F"

Says = Callable[[str, str], bytes | None]  # (sequence, account) -> what to send back; None: hang up


def settings(port: int, **more: Any) -> Dc09Settings:
    told = {"kind": "dc09", "name": "police", "host": "127.0.0.1", "port": port, "timeout_s": 1.0, **more}
    return Dc09Settings(**told)


@contextlib.asynccontextmanager
async def backend(port: int, accepted: Accepted | None = None, **more: Any) -> AsyncIterator[dc09.Dc09Backend]:
    made = dc09.Dc09Backend(settings(port, **more), accepted or Accepted(), return_s=0.3)
    try:
        yield made
    finally:
        await made.close()


@contextlib.asynccontextmanager
async def misbehaving(says: Says) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A TCP server: (its port, the frames that came)."""
    came: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while frame := await reader.readuntil(b"\r"):
                came.append(frame)
                head = frame.decode("latin-1")
                sequence, account = head.split('"')[2][:4], head.partition("#")[2].partition("[")[0]
                answer = says(sequence, account)
                if answer is None:
                    break
                writer.write(answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the other side hung up
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], came


def ack(sequence: str, account: str, kind: str = "ACK") -> bytes:
    return framed(f'"{kind}"{sequence}R0L0#{account}[]'.encode())


@pytest.mark.parametrize("protocol", [CommunicationsProtocol.TCP, CommunicationsProtocol.UDP])
@pytest.mark.parametrize("key", ["", "0123456789ABCDEF"], ids=["clear", "encrypted"])
def test_an_independent_receiver_takes_it(protocol: CommunicationsProtocol, key: str) -> None:
    """Contact ID it reads too, but only with one block of extended data: that is in test_dc09_frame.py."""
    accepted: Accepted = Accepted()
    events: list[SIAEvent] = []
    came = threading.Event()

    def heard(event: SIAEvent) -> None:
        events.append(event)
        came.set()

    async def run(port: int) -> Outcome:
        udp, secret = protocol is CommunicationsProtocol.UDP, key.encode().hex()
        async with backend(port, accepted, transport="udp" if udp else "tcp", key=secret) as made:
            return settled(await made.deliver(delivery()))

    port = free_port()
    with SIAClient("127.0.0.1", port, [SIAAccount("0000A1B2", key or None)], heard, protocol=protocol):
        outcome = asyncio.run(run(port))
        assert came.wait(5)
    assert outcome.done, outcome.error
    assert accepted.of == [(delivery().id, None)]
    (event,) = events
    assert (event.account, event.code, event.ri) == ("0000A1B2", "PA", "1")
    found = {each.identifier: each.value for each in event.extended_data or []}
    assert found["H"] == "03:40:40,11-24-2026"
    assert (found["X"], found["Y"]) == ("110E24.5593", "006S58.9492")


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_contact_id_at_the_reference_receiver(transport: str) -> None:
    async def run() -> list[dict[str, Any]]:
        heard: list[dict[str, Any]] = []
        port = await reference.Receiver(heard.append, bytes.fromhex(KEY)).listen("127.0.0.1", 0)
        async with backend(port, transport=transport, code="ADM-CID", key=KEY, account="aaa1") as made:
            for changed in ({}, {"silent": True}, {"test": True}, {"change": "closed"}):
                assert (await made.deliver(delivery(len(heard), **changed))).done
        return heard

    heard = asyncio.run(run())
    assert [each["event"] for each in heard] == ["1120 01 001", "1122 01 001", "1601 01 001", "3120 01 001"]
    assert {each["account"] for each in heard} == {"#AAA1"}


def exchange(says: Says, times: int = 1, **more: Any) -> tuple[list[Outcome], Accepted, list[bytes]]:
    accepted = Accepted()

    async def run() -> tuple[list[Outcome], list[bytes]]:
        async with misbehaving(says) as (port, came), backend(port, accepted, **more) as made:
            return [settled(await made.deliver(delivery(2))) for _ in range(times)], came

    outcomes, came = asyncio.run(run())
    return outcomes, accepted, came


@pytest.mark.parametrize(
    ("says", "done", "reached", "hopeless", "words"),
    [
        (lambda seq, account: ack(seq, account), True, True, False, None),
        (lambda seq, account: ack(seq, account, "RSP"), True, True, False, None),
        (lambda seq, account: ack(seq, account, "DUH"), False, True, True, "does not understand PA (DUH)"),
        (lambda _seq, _account: None, False, False, False, "closed the connection without an answer"),
        (lambda seq, account: ack(seq, account)[:9], False, False, False, "no answer of"),
        (lambda seq, account: b"HTTP/1.1 400 Bad Request\r", False, False, False, "does not begin with CRC"),
        (lambda seq, account: ack(seq, account).replace(b"ACK", b"NAC"), False, False, False, "wrong CRC"),
        (lambda seq, account: b"x" * 5000, False, False, False, "more than 1024 bytes"),
        (lambda seq, account: ack("0000", account), False, False, False, "no answer of"),
        (lambda seq, account: ack(seq, "BEEF"), False, False, False, "no answer of"),
        (lambda seq, account: framed(b'"NAK"0000R0L0A0[]'), False, True, False, "it says no time"),
    ],
    ids=["ACK", "RSP", "DUH", "hangs up", "half", "HTTP", "damaged", "huge", "sequence", "account", "NAK"],
)
def test_what_an_answer_means(says: Says, done: bool, reached: bool, hopeless: bool, words: str | None) -> None:
    (outcome,), accepted, _ = exchange(says, timeout_s=0.3)
    assert (outcome.done, outcome.reached, outcome.hopeless) == (done, reached, hopeless)
    assert bool(accepted.of) == done
    assert words is None if outcome.error is None else words is not None and words in outcome.error


def test_half_an_answer_and_then_the_end() -> None:
    halves = iter([b"\n1234", None])

    async def run() -> Outcome:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r")
            writer.write(next(halves) or b"")
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server, backend(server.sockets[0].getsockname()[1]) as made:
            return await made.deliver(delivery())

    outcome = asyncio.run(run())
    assert outcome.error is not None
    assert "in the middle of its answer" in outcome.error


def test_a_try_has_its_number_again_and_a_new_stamp() -> None:
    outcomes, _, came = exchange(lambda seq, account: ack(seq, account, "DUH"), times=2)
    assert not any(outcome.done for outcome in outcomes)
    first, second = (frame.decode().split('"')[2][:4] for frame in came)
    assert first == second


def test_answers_to_something_else_are_passed_over() -> None:
    """Late ones, repeated ones, another's; and a flood of them ends the attempt, not the gateway."""

    def says(sequence: str, account: str) -> bytes:
        number = int(sequence)
        return ack(f"{number - 1:04d}", account) * 3 + ack(sequence, "BEEF") + ack(sequence, account) * 2

    outcomes, accepted, _ = exchange(says, times=3)
    assert all(outcome.done for outcome in outcomes)
    assert len(accepted.of) == 3
    (flooded,), accepted, _ = exchange(lambda seq, account: ack("0000", account) * 10_000)
    assert flooded.error == "it sent 20 answers, none of them to what was sent"
    assert accepted.of == []


def test_another_key_is_no_ack() -> None:
    async def run(theirs: bytes | None, ours: str) -> Outcome:
        heard: list[dict[str, Any]] = []
        receiver = reference.Receiver(heard.append, theirs)
        port = await receiver.listen("127.0.0.1", 0)
        async with backend(port, key=ours) as made:
            outcome = await made.deliver(delivery())
        assert [each["answer"] for each in heard] == ["ACK" if outcome.done else "DUH"]
        return outcome

    assert asyncio.run(run(bytes.fromhex(KEY), KEY)).done
    for theirs, ours in ((bytes(16), KEY), (None, KEY), (bytes.fromhex(KEY), "")):
        outcome = asyncio.run(run(theirs, ours))
        assert not outcome.done
        assert outcome.hopeless


def test_a_nak_sets_the_stamps_right() -> None:
    async def run() -> tuple[list[Outcome], list[dict[str, Any]]]:
        heard: list[dict[str, Any]] = []
        receiver = reference.Receiver(heard.append)
        receiver.clock_s = 3600.0
        port = await receiver.listen("127.0.0.1", 0)
        async with backend(port) as made:
            return [await made.deliver(delivery(number)) for number in (1, 2)], heard

    outcomes, heard = asyncio.run(run())
    assert all(outcome.done for outcome in outcomes)
    assert [each["answer"] for each in heard] == ["NAK", "ACK", "ACK"]  # learnt once
    # The press happened when it happened, whatever the receiver's clock says.
    assert {each["extended"][0] for each in heard} == {"H03:40:40,11-24-2026"}


def test_a_nak_again_says_what_to_do() -> None:
    def says(_sequence: str, _account: str) -> bytes:
        return framed(f'"NAK"0000R0L0A0[]{timestamp(time.time() + 7200)}'.encode())

    (outcome,), _, came = exchange(says)
    assert len(came) == 2
    assert outcome.reached
    assert outcome.error is not None
    assert "its clock differs by +7" in outcome.error


def test_silence_goes_to_the_backup_and_back() -> None:
    """Whether the primary refuses the connection or takes it and says nothing."""

    async def run() -> None:
        primary: list[dict[str, Any]] = []
        backup: list[dict[str, Any]] = []
        main, spare = reference.Receiver(primary.append), reference.Receiver(backup.append)
        main.behave = "silent"
        port, spare_port = await main.listen("127.0.0.1", 0), await spare.listen("127.0.0.1", 0)
        more = {"backup_host": "127.0.0.1", "backup_port": spare_port, "timeout_s": 0.3}
        async with backend(port, **more) as made:
            assert (await made.deliver(delivery(1))).done
            assert (len(primary), len(backup)) == (1, 1)
            assert (await made.deliver(delivery(2))).done
            assert (len(primary), len(backup)) == (1, 2)  # it stays for a while
            main.behave = ""
            await asyncio.sleep(0.35)
            assert (await made.deliver(delivery(3))).done
            assert (len(primary), len(backup)) == (2, 2)  # and returns
        async with backend(free_port(), **more) as made:
            assert (await made.deliver(delivery(4))).done
        async with backend(free_port(), timeout_s=0.3) as made:
            outcome = await made.deliver(delivery(5))
        assert outcome.error is not None
        assert "no connection to 127.0.0.1" in outcome.error
        assert not outcome.reached

    asyncio.run(run())


def test_supervision_reports_silence_and_return() -> None:
    async def run() -> list[bool]:
        heard: list[dict[str, Any]] = []
        receiver = reference.Receiver(heard.append)
        port = await receiver.listen("127.0.0.1", 0)
        reports: list[bool] = []
        turned = asyncio.Event()

        async def report(error: str | None) -> None:
            reports.append(error is None)
            turned.set()

        async def next_report() -> None:
            turned.clear()
            await asyncio.wait_for(turned.wait(), 5)

        async with backend(port, supervise_s=1, timeout_s=0.2) as made:
            attending = asyncio.create_task(made.attend(report))
            await next_report()
            receiver.behave = "silent"
            await next_report()
            receiver.behave = ""
            await next_report()
            attending.cancel()
        assert {each["event"] for each in heard} == {"NULL"}
        assert {each["account"] for each in heard} == {"#000"}
        return reports

    assert asyncio.run(run()) == [True, False, True]


def test_what_a_receiver_has_no_code_for_is_not_sent() -> None:
    async def run() -> Outcome:
        async with backend(free_port()) as made:
            return await made.deliver(delivery(change="acknowledged"))

    assert asyncio.run(run()).done


def test_troubles_are_told_when_they_begin_and_when_they_end(tmp_path: Path) -> None:
    """Until they are acknowledged, also over a restart; and each once."""

    def trouble(kind: int, counter: int, *, ended: bool = False) -> None:
        with store.write() as conn:
            header = Header(TROUBLE, 0, DEVICE, 1, counter)
            said = Trouble(kind, ended=ended)
            troubles.take(conn, DEVICE, header, said, NOW + counter, lambda known: known[1] < counter)

    async def run() -> list[list[tuple[str, str]]]:
        heard: list[dict[str, Any]] = []
        seen: list[list[tuple[str, str]]] = []
        receiver = reference.Receiver(heard.append)
        port = await receiver.listen("127.0.0.1", 0)

        async def told(number: int) -> None:
            """By a backend that begins anew; its first look and two more."""
            made = dc09.Dc09Backend(
                settings(port, supervise_s=0, timeout_s=0.2), Accepted(), store=store, troubles_every_s=0.05
            )
            attending = asyncio.create_task(made.attend(nothing))
            for _ in range(100):
                await asyncio.sleep(0.02)
                if len(heard) >= number:
                    break
            await asyncio.sleep(0.15)
            attending.cancel()
            await made.close()
            seen.append(sorted((each["event"], each["extended"][-1]) for each in heard))
            heard.clear()

        trouble(BATTERY_LOW, 1)
        trouble(BUTTON_STUCK, 2)
        receiver.behave = "silent"
        await told(1)
        receiver.behave = ""
        await told(2)
        trouble(BATTERY_LOW, 3, ended=True)
        await told(1)
        await told(0)
        return seen

    async def nothing(_error: str | None) -> None:
        return

    with lab_store(tmp_path) as store:
        silent, begun, ended, after = asyncio.run(run())
    assert {event for event, _ in silent} <= {"Nri1/YT1", "Nri1/PT1"}
    assert silent
    assert begun == [("Nri1/PT1", "Ishop-1, button_stuck"), ("Nri1/YT1", "Ishop-1, battery_low")]
    assert ended == [("Nri1/YR1", "Ishop-1, battery_low")]
    assert after == []
