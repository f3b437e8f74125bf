"""Many buttons in one cell who press within a second: how long until each has its receipt. Without chips or firmware.

A base has one receiver for each channel, all of one spreading factor: it hears one packet at a time on each, and is
deaf on a channel while it answers for it. Buttons send with IQ as it is, the base with IQ inverted, so that buttons do
not receive each other.
"""

from __future__ import annotations

import math
import random
from collections import deque
from dataclasses import dataclass, field

from simulator.radio.air import Air, Deaf, Heard
from simulator.radio.modulation import Modulation, Packet
from simulator.radio.plans import Plans
from simulator.radio.regions import AS923_2, HOUR_US, Inspector, Region
from simulator.virtual.kernel import Kernel

FRAME_BYTES = 24  # a compact alarm
RECEIPT_BYTES, BATCH_BYTES = 9, 1  # a compact status; a packet of them, besides
TURN_US = 20_000  # from a frame's end until its receipt can begin: the gateway's commit, and the way there and back
DEVICE_DBM, BASE_DBM = 14.0, 14.0
# Once so much of a base's hour is used, and so many come that a packet is filled in that time (or half of it is used),
# its receipts wait until a packet is full, or so long: each packet counts then.
EASY_SHARE, FEW_SHARE, HOLD_US = 0.1, 0.5, 4_000_000


@dataclass(frozen=True)
class Schedule:
    """When a button tries again. name: printed. Waits are drawn evenly from half of the bound to the bound, which
    doubles from first_ms to cap_ms. is_fixed: they are the bound. tries: None is for ever.

    looks: channel activity detection before sending; a busy channel costs a wait of up to back_ms, and no try.
    apart: the base answers on a frequency of its own, not on the one on which the frame came.
    batches: the base answers several at once. holds: once it is busy it waits until a packet is full.
    answer_ms: when it answers (None: as soon as it can).
    """

    name: str
    first_ms: int
    cap_ms: int
    tries: int | None = None
    is_fixed: bool = False
    looks: bool = False
    apart: bool = False
    batches: bool = False
    holds: bool = False
    answer_ms: int | None = None
    back_ms: int = 0

    def wait_us(self, tries: int, draw: random.Random) -> int:
        bound = min(self.first_ms << min(tries - 1, 20), self.cap_ms) * 1000
        return bound if self.is_fixed else draw.randint(bound // 2, bound)


SCHEDULES = {
    each.name: each
    for each in (
        Schedule("sigap", 1_500, 128_000, looks=True, apart=True, batches=True, holds=True, back_ms=600),
        # The same without one of its parts, to see what that part is worth.
        Schedule("sigap-at-once", 1_500, 128_000, looks=True, apart=True, batches=True, back_ms=600),
        Schedule("sigap-one-channel", 1_500, 128_000, looks=True, batches=True, holds=True, back_ms=600),
        # ALOHA with a fixed interval, as the simplest firmwares do it.
        Schedule("aloha", 2_000, 2_000, is_fixed=True),
        # LoRaWAN's confirmed uplink (1.0.4, 18.4; RP002-1.0.4): the answer after a second, retries after 1 to 3 s more,
        # eight of them; one answer for each.
        Schedule("lorawan", 4_000, 4_000, tries=8, answer_ms=1_000),
    )
}


@dataclass(frozen=True)
class Case:
    """One cell. metres: its radius; at 60 each button detects every other, at SF7 too. hidden: none detects another."""

    buttons: int
    factor: int
    channels: int
    schedule: Schedule
    seed: int = 1
    metres: float = 60.0
    hidden: bool = False
    loss: float = 0.0
    limit_s: int = 600


@dataclass
class Result:
    """receipt_s: of each button that has one, the shortest first. broken: what the region forbids and was done."""

    case: Case
    receipt_s: list[float] = field(default_factory=list)
    sent: int = 0
    base_ms: int = 0
    busiest_ms: int = 0
    broken: list[str] = field(default_factory=list)

    @property
    def lost(self) -> int:
        return self.case.buttons - len(self.receipt_s)

    def at(self, share: float) -> float | None:
        """Seconds within which this share of all buttons had its receipt; None when so many never had."""
        place = max(0, math.ceil(self.case.buttons * share) - 1)
        return self.receipt_s[place] if place < len(self.receipt_s) else None


class _Duty:
    """The hour's airtime, to the microsecond."""

    def __init__(self, region: Region) -> None:
        self._limit_us = int(region.duty * HOUR_US)
        self._sent: deque[tuple[int, int]] = deque()

    def share(self) -> float:
        """Of what the hour allows."""
        return sum(each for _, each in self._sent) / self._limit_us

    def wait_us(self, now_us: int, airtime_us: int) -> int:
        while self._sent and self._sent[0][0] <= now_us + airtime_us - HOUR_US:
            self._sent.popleft()
        used = sum(each for _, each in self._sent) + airtime_us
        for end_us, each in self._sent:
            if used <= self._limit_us:
                return 0
            used -= each
            if used <= self._limit_us:
                return end_us + HOUR_US - airtime_us - now_us
        return 0

    def sent(self, now_us: int, airtime_us: int) -> None:
        self._sent.append((now_us + airtime_us, airtime_us))


class _Button(Deaf):
    def __init__(self, cell: Cell, number: int, place: tuple[float, float, float]) -> None:
        self.cell, self.number, self.name = cell, number, f"button{number}"
        self.tries = 0
        self.pressed_us = 0
        self.done = False
        self._plans = Plans(cell.kernel)
        self._duty = _Duty(cell.region)
        cell.air.join(self.name, place, self)

    def press(self) -> None:
        self.pressed_us = self.cell.kernel.now_us
        self._attempt()

    def _attempt(self) -> None:
        cell, schedule = self.cell, self.cell.case.schedule
        if schedule.tries is not None and self.tries >= schedule.tries:
            self._end()
            return
        channel = cell.draw.randrange(cell.case.channels)
        packet = Packet(cell.frame(self.number), cell.up[channel], DEVICE_DBM)
        wait_us = self._duty.wait_us(cell.kernel.now_us, packet.airtime_us)
        if wait_us:
            self._plans.plan(wait_us, self._attempt)
            return
        if schedule.looks and not cell.case.hidden and cell.air.is_active(self.name, packet.modulation):
            self._plans.plan(cell.draw.randint(1, schedule.back_ms * 1000), self._attempt)
            return
        self.tries += 1
        cell.result.sent += 1
        self._duty.sent(cell.kernel.now_us, packet.airtime_us)
        cell.air.send(self.name, packet)
        cell.kernel.after(packet.airtime_us, lambda: self._listen(channel))
        self._plans.plan(packet.airtime_us + schedule.wait_us(self.tries, cell.draw), self._attempt)

    def _listen(self, channel: int) -> None:
        if not self.done:
            self.cell.air.listen(self.name, self.cell.down[channel])

    def _end(self) -> None:
        self.done = True
        self._plans.step()
        self.cell.air.listen(self.name, None)

    def received(self, heard: Heard) -> None:
        if heard.intact and self.number in self.cell.receipts[heard.payload] and not self.done:
            self._end()
            self.cell.result.receipt_s.append((self.cell.kernel.now_us - self.pressed_us) / 1e6)


class _Receiver(Deaf):
    """The base on one channel."""

    def __init__(self, cell: Cell, channel: int) -> None:
        self.cell, self.channel, self.name = cell, channel, f"base{channel}"
        self._owed: deque[int] = deque()
        self._came: deque[int] = deque()  # when the last ones came, as many as fill a packet
        self._plans = Plans(cell.kernel)
        self._is_planned = False
        self._busy_until_us = 0
        most_bytes = cell.region.most_bytes(cell.case.factor)
        self._most = (most_bytes - BATCH_BYTES) // RECEIPT_BYTES if cell.case.schedule.batches else 1
        self.duty = _Duty(cell.region)
        cell.air.join(self.name, (0.0, 0.0, 5.0), self)
        cell.air.listen(self.name, cell.up[channel])

    def received(self, heard: Heard) -> None:
        if not heard.intact:
            return
        number = int.from_bytes(heard.payload[:4], "big")
        schedule = self.cell.case.schedule
        if schedule.answer_ms is not None:
            self.cell.kernel.after(schedule.answer_ms * 1000, lambda: self._answer([number]))
            return
        if number not in self._owed:
            self._owed.append(number)
        is_full = len(self._owed) >= self._most
        now = self.cell.kernel.now_us
        self._came.append(now)
        if len(self._came) > self._most:
            self._came.popleft()
        are_few = len(self._came) < self._most or now - self._came[0] > HOLD_US
        if not self._is_planned:
            is_easy = not schedule.holds or self.duty.share() < (FEW_SHARE if are_few else EASY_SHARE)
            self._answer_in(TURN_US if is_full or is_easy else HOLD_US)
        elif is_full:
            self._answer_in(TURN_US)

    def _answer_in(self, delay_us: int) -> None:
        self._plans.step()
        self._is_planned = True
        late_us = max(self._busy_until_us - self.cell.kernel.now_us, 0)
        self._plans.plan(late_us + delay_us, self._answer_owed)

    def _answer_owed(self) -> None:
        self._is_planned = False
        self._answer([self._owed.popleft() for _ in range(min(self._most, len(self._owed)))])
        if self._owed:
            holds = self.cell.case.schedule.holds and len(self._owed) < self._most
            self._answer_in(HOLD_US if holds else TURN_US)

    def _answer(self, numbers: list[int]) -> None:
        """One that the hour has no room for, or that comes while it sends, is not sent."""
        cell = self.cell
        payload = cell.receipt(numbers)
        packet = Packet(payload, cell.down[self.channel], BASE_DBM)
        now = cell.kernel.now_us
        if self.duty.wait_us(now, packet.airtime_us) or now < self._busy_until_us:
            return
        self.duty.sent(now, packet.airtime_us)
        self._busy_until_us = now + packet.airtime_us
        cell.result.base_ms += packet.airtime_us // 1000
        cell.air.send(self.name, packet)
        cell.kernel.after(packet.airtime_us, lambda: cell.air.listen(self.name, cell.up[self.channel]))


class Cell:
    def __init__(self, case: Case, region: Region = AS923_2) -> None:
        self.case, self.region = case, region
        self.kernel = Kernel()
        self.draw = random.Random(case.seed)
        self.air = Air(self.kernel, seed=case.seed, loss=case.loss)
        self.rules = Inspector(region, bases=frozenset(f"base{channel}" for channel in range(case.channels)))
        self.air.watchers.append(self.rules)
        self.up = [Modulation(each, case.factor) for each in region.channels_hz[: case.channels]]
        answers = region.answers_hz if case.schedule.apart else region.channels_hz
        self.down = [
            Modulation(answers[each % len(answers)], case.factor, iq_inverted=True) for each in range(case.channels)
        ]
        self.receipts: dict[bytes, list[int]] = {}
        self.result = Result(case)
        for channel in range(case.channels):
            _Receiver(self, channel)
        self.buttons = [_Button(self, number, self._place()) for number in range(case.buttons)]

    def _place(self) -> tuple[float, float, float]:
        while True:
            east, north = (self.draw.uniform(-1, 1) for _ in range(2))
            if east * east + north * north <= 1:
                return east * self.case.metres, north * self.case.metres, 1.0

    def frame(self, number: int) -> bytes:
        return number.to_bytes(4, "big") + bytes(FRAME_BYTES - 4)

    def receipt(self, numbers: list[int]) -> bytes:
        """Bytes that are sent once only, as long as receipts for these are."""
        length = (BATCH_BYTES if self.case.schedule.batches else 0) + RECEIPT_BYTES * max(len(numbers), 1)
        payload = len(self.receipts).to_bytes(4, "big") + bytes(max(length - 4, 0))
        self.receipts[payload] = numbers
        return payload

    def run(self) -> Result:
        """All press within a second; until each has its receipt, or the limit."""
        for button in self.buttons:
            self.kernel.at(self.draw.randrange(1_000_000), button.press)
        limit_us = self.case.limit_s * 1_000_000
        while self.kernel.now_us < limit_us and not all(button.done for button in self.buttons):
            self.kernel.run(min(self.kernel.now_us + 1_000_000, limit_us))
        self.result.busiest_ms = max(
            (airtime // 1000 for name, airtime in self.rules.airtime_us.items() if name.startswith("button")), default=0
        )
        self.result.broken = self.rules.broken
        self.result.receipt_s.sort()
        return self.result


def run(case: Case) -> Result:
    """One cell, from its seed: the same each time."""
    return Cell(case).run()
