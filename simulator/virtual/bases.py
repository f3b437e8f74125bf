"""Base stations' serial lines in virtual time: the gateway's end of each, as gateway/bases/port.py keeps it."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from panic_wire import base_line as line
from panic_wire import topics
from simulator.virtual.board import Board
from simulator.virtual.broker import Message
from simulator.virtual.kernel import Kernel

ASK_US, SAY_AGAIN_US, MOST_SAYS = 2_000_000, 250_000, 20
BYTE_US = 87  # at 115,200 baud


@dataclass
class BaseLine:
    """One base's line. plugged: the cable is in. noise: chance of each byte, either way, to become another."""

    kernel: Kernel
    chance: random.Random
    listens: Callable[[], bool]  # the gateway's process runs
    take: Callable[[Message], None]
    board: Board | None = None
    plugged: bool = True
    noise: float = 0.0
    name: str | None = None
    spoilt: int = 0
    pending: dict[int, tuple[int, int]] = field(default_factory=dict)  # message id -> boot and seq
    _boot: int = 0
    _next_mid: int = -1
    _down: dict[int, tuple[bytes, int]] = field(default_factory=dict)
    _next_id: int = 0

    def opened(self) -> None:
        """The gateway has opened the port: it knows nothing of who is there."""
        self.name = None
        self.pending.clear()
        self._down.clear()
        self._ask()

    def _ask(self) -> None:
        if self.name is None and self.listens():
            self._write(line.pack(line.ASK))
            self.kernel.after(ASK_US, self._ask)

    def _spoil(self, data: bytes) -> bytes:
        if not self.noise:
            return data
        noisy = bytes(self.chance.randrange(256) if self.chance.random() < self.noise else byte for byte in data)
        self.spoilt += noisy != data
        return noisy

    def _write(self, data: bytes) -> None:
        if self.plugged and self.board:
            noisy = self._spoil(data)
            self.kernel.after(len(data) * BYTE_US, lambda: self.board.type(noisy) if self.board else None)

    def printed(self, text: str) -> None:
        """What the base has printed."""
        if not self.plugged or not self.listens():
            return
        data = self._spoil(text.encode() + b"\n")
        self.kernel.after(len(data) * BYTE_US, lambda: self._hear(data))

    def _hear(self, data: bytes) -> None:
        for text in data.split(b"\n"):
            found = line.unpack(text)
            if found and self.listens():
                self._obey(*found)

    def _obey(self, kind: int, payload: bytes) -> None:
        if kind == line.HELLO:
            base, _, _, _, self._boot, *_ = struct.unpack(line.HELLO_LAYOUT, payload)
            self.name = topics.device_name(base)
        elif kind == line.UP and self.name is not None:
            key = (self._boot, struct.unpack(">I", payload[:4])[0])
            if key in self.pending.values():
                return
            self.pending[self._next_mid] = key
            self.take(Message(self._next_mid, topics.base_up(self.name), payload, 1))
            self._next_mid -= 1
        elif kind == line.DONE:
            self._down.pop(struct.unpack(line.DONE_LAYOUT, payload)[0], None)

    def acknowledge(self, mid: int) -> None:
        """It is committed."""
        boot, seq = self.pending.pop(mid, (0, 0))
        if boot == self._boot:
            self._write(line.pack(line.TOOK, struct.pack(line.TOOK_LAYOUT, boot, seq)))

    def send(self, payload: bytes) -> None:
        """To be sent by the base."""
        if any(each == payload for each, _ in self._down.values()):
            return
        self._next_id = (self._next_id + 1) % 0x10000
        self._down[self._next_id] = (payload, 0)
        self._say(self._next_id)

    def _say(self, number: int) -> None:
        if number not in self._down or not self.listens():
            return
        payload, says = self._down[number]
        if says == MOST_SAYS:
            del self._down[number]
            return
        self._down[number] = (payload, says + 1)
        self._write(line.pack(line.DOWN, struct.pack(line.DOWN_LAYOUT, number) + payload))
        self.kernel.after(SAY_AGAIN_US, lambda: self._say(number))
