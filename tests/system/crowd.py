"""Many buttons in one process: each has its own line to the broker, seals real frames, and repeats an alarm until its
receipt, as the firmware does. asyncio and the modelled broker's codec: fast enough not to be what is measured."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from gateway.registry.devices import Device
from panic_wire import topics
from panic_wire.frames import ALARM, RECEIPT, STATUS, Alarm, Header, unpack_status
from panic_wire.keys import broker_password, downlink_key, uplink_key
from panic_wire.seal import open_frame, seal
from simulator.virtual import mqtt
from tests.system.broker_lab import acknowledge, connect, subscribe

RECONNECT_S = 0.2
FIRST_REPEAT_S, MOST_REPEAT_S, JITTER = 1.0, 30.0, 0.25  # as firmware/panic/retry.py
LOOK_EVERY_S = 0.05


@dataclass
class Press:
    """One alarm, from the thumb to its receipt. Times are of time.monotonic()."""

    activation: int
    at: float
    next_at: float = 0.0
    frames: int = 0
    receipted_at: float | None = None

    @property
    def took_s(self) -> float:
        assert self.receipted_at is not None
        return self.receipted_at - self.at


@dataclass
class CrowdButton:
    """What is said by and to one device."""

    device: Device
    open: dict[int, Press] = field(default_factory=dict)
    done: list[Press] = field(default_factory=list)
    counter: int = 0
    activation: int = 0
    lines: int = 0  # how often it came to be connected
    writer: asyncio.StreamWriter | None = None

    def __post_init__(self) -> None:
        self.name, self.epoch = topics.device_name(self.device.id), secrets.randbits(32)
        self.up, self.down = topics.up(self.name), topics.down(self.name)
        self._key = uplink_key(self.device.root_key, self.device.id)
        self._down_key = downlink_key(self.device.root_key, self.device.id)

    def frame(self, press: Press) -> bytes:
        """Sealed anew, with the age as of now."""
        self.counter += 1
        age_ms = int((time.monotonic() - press.at) * 1000)
        header = Header(ALARM, 0, self.device.id, self.epoch, self.counter)
        return seal(self._key, header, Alarm(press.activation, age_ms=age_ms, repeated=press.frames > 0).pack())

    def receipted(self, payload: bytes) -> int | None:
        """The activation that this downlink frame is the receipt of."""
        header, body = open_frame(self._down_key, payload)
        if header.type == STATUS and header.stage == RECEIPT:
            return unpack_status(body).activation
        return None


class Crowd:
    """async with Crowd(devices, port) as crowd: crowd.press(...), await crowd.all_receipted(limit_s)."""

    def __init__(self, devices: Iterable[Device], port: int, seed: int = 0) -> None:
        self.buttons = [CrowdButton(each) for each in devices]
        self.counts: Counter[str] = Counter()
        self._port, self._chance = port, random.Random(seed)
        self._open: dict[tuple[int, int], tuple[CrowdButton, Press]] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Crowd:
        self._tasks = [asyncio.create_task(self._live(each)) for each in self.buttons]
        self._tasks.append(asyncio.create_task(self._repeat()))
        return self

    async def __aexit__(self, *_: object) -> None:
        for each in self._tasks:
            each.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def all_connected(self, limit_s: float) -> None:
        async with asyncio.timeout(limit_s):
            while any(each.writer is None for each in self.buttons):
                await asyncio.sleep(0.02)

    async def all_receipted(self, limit_s: float) -> None:
        async with asyncio.timeout(limit_s):
            while self._open:
                await asyncio.sleep(0.02)

    @property
    def unreceipted(self) -> int:
        return len(self._open)

    def press(self, button: CrowdButton) -> Press:
        """A new alarm; its first frame leaves at once, if there is a line."""
        button.activation += 1
        press = Press(button.activation, time.monotonic())
        button.open[press.activation] = press
        self._open[button.device.id, press.activation] = button, press
        self.counts["alarms"] += 1
        self._send(button, press)
        return press

    async def press_at_rate(self, number: int, per_s: float, buttons: list[CrowdButton] | None = None) -> None:
        """Open loop: each at its intended time, by the buttons in turn, however late the answers are."""
        buttons = buttons or self.buttons
        began = time.monotonic()
        for each in range(number):
            wait_s = began + each / per_s - time.monotonic()
            if wait_s > 0.001:
                await asyncio.sleep(wait_s)
            elif each % 50 == 0:
                await asyncio.sleep(0)
            self.press(buttons[each % len(buttons)])

    def presses(self) -> list[tuple[CrowdButton, Press]]:
        """Those that are receipted."""
        return [(button, press) for button in self.buttons for press in button.done]

    def _send(self, button: CrowdButton, press: Press) -> None:
        wait_s = min(FIRST_REPEAT_S * 2**press.frames, MOST_REPEAT_S)
        press.next_at = time.monotonic() + wait_s * (1 - JITTER * self._chance.random())
        if button.writer is None:
            return
        frame = button.frame(press)
        press.frames += 1
        self.counts["frames"] += 1
        button.writer.write(mqtt.pack_publish(button.up, frame, 1, 1 + button.counter % 65_535))

    async def _repeat(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            now = time.monotonic()
            for button, press in list(self._open.values()):
                if press.next_at <= now:
                    self._send(button, press)

    async def _live(self, button: CrowdButton) -> None:
        while True:
            try:
                await self._talk(button)
            except (OSError, asyncio.IncompleteReadError):
                self.counts["lines lost"] += 1
            finally:
                if button.writer is not None:
                    button.writer.close()
                    button.writer = None
            await asyncio.sleep(RECONNECT_S * (0.5 + self._chance.random()))

    async def _talk(self, button: CrowdButton) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            name = button.name.encode()
            password = broker_password(button.device.root_key, button.device.id).encode()
            writer.write(connect(client_id=name, username=name, password=password, keepalive_s=0))
            writer.write(subscribe(1, (button.down, 1)))
            buffer = bytearray()
            while data := await reader.read(1 << 16):
                buffer += data
                while (packet := mqtt.split(buffer)) is not None:
                    self._take(button, writer, packet)
        finally:
            writer.close()

    def _take(self, button: CrowdButton, writer: asyncio.StreamWriter, packet: mqtt.Packet) -> None:
        if packet.kind == mqtt.CONNACK and packet.body[1]:
            self.counts["logins refused"] += 1
        elif packet.kind == mqtt.SUBACK:
            button.writer = writer
            button.lines += 1
            for press in list(button.open.values()):  # it announces what is open
                self._send(button, press)
        elif packet.kind == mqtt.PUBLISH:
            fields = mqtt.Reader(packet.body)
            fields.text()
            if packet.flags >> 1 & 3:
                writer.write(acknowledge(fields.number()))
            self.counts["answers"] += 1
            activation = button.receipted(fields.rest())
            press = None if activation is None else button.open.pop(activation, None)
            if press is not None:
                press.receipted_at = time.monotonic()
                button.done.append(press)
                del self._open[button.device.id, press.activation]
