"""One base station at one serial port, for ever: opened, lost, opened again; what is half said is said again.

A frame goes into the intake and is called safe (TOOK) only when the writer has committed it; until then the base says
it again. What is to be sent is said again until the base says that it has it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import struct
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import serial

from gateway.clock import Clock, now_us
from gateway.ingest.intake import Intake, Uplink
from gateway.supervision.bases import CUT_OFF, ONLINE, SILENT
from panic_wire import base_line as line
from panic_wire import topics

log = logging.getLogger("sigap.bases")

BAUD = 115_200
OPEN_EVERY_S = 1.0
ASK_EVERY_S = 2.0
SILENT_S = 30.0  # three beats
SAY_AGAIN_S, MOST_SAYS = 0.25, 20
MOST_DOWN = 256
MOST_PENDING = 1_000  # frames of this base that the writer has not committed
READ_BYTES = 4096
# LoRa carries some 16 frames a second at SF7. A base that says so many more, for so long, has gone mad.
MAD_LINES, MAD_IN_S, CUT_OFF_S = 600, 10.0, 60.0


@dataclass
class State:
    """What is known of a base: its id None before it has said it. beat: its newest signs of life, by name."""

    port: str
    base: int | None = None
    state: str = SILENT
    error: str | None = None
    beat: dict[str, Any] = field(default_factory=dict)
    bad_lines: int = 0


@dataclass
class _Down:
    payload: bytes
    says: int = 0
    next_s: float = 0.0


class BasePort:
    """run() never returns; every method is to be called in its event loop."""

    def __init__(self, path: str, intake: Intake, clock: Clock = now_us) -> None:
        self._path, self._intake, self._clock = path, intake, clock
        self.state = State(path)
        self._serial: serial.Serial | None = None
        self._lines = line.Lines()
        self._out = bytearray()
        self._boot = 0
        self._pending: set[tuple[int, int]] = set()
        self._down: dict[int, _Down] = {}
        self._next_id = 0
        self._heard_s = 0.0
        self._asked_s = 0.0
        self._recent: deque[float] = deque(maxlen=MAD_LINES)
        self._broken = asyncio.Event()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            if not self._open():
                await asyncio.sleep(OPEN_EVERY_S)
                continue
            assert self._serial is not None
            descriptor = self._serial.fileno()
            self._broken.clear()
            loop.add_reader(descriptor, self._readable)
            try:
                await self._attend()
            finally:
                loop.remove_reader(descriptor)
                loop.remove_writer(descriptor)
                with contextlib.suppress(OSError):
                    self._serial.close()
                self._serial = None
            if self.state.state == CUT_OFF:
                await asyncio.sleep(CUT_OFF_S)
                self._recent.clear()
            self.state.state = SILENT
            await asyncio.sleep(OPEN_EVERY_S)

    def _open(self) -> bool:
        try:
            # Without DTR and RTS: on an ESP32 they are its reset.
            opened = serial.Serial(None, BAUD, timeout=0, write_timeout=0, exclusive=True)
            opened.dtr = opened.rts = False
            opened.port = self._path
            opened.open()
        except (OSError, ValueError) as error:
            if self.state.error is None:
                log.error("the base station at %s cannot be reached: %s", self._path, error)
            self.state.error = str(error)
            return False
        self.state.error = None
        self._serial, self._lines = opened, line.Lines()
        self._out.clear()
        self._pending.clear()
        self._heard_s = self._asked_s = 0.0
        return True

    async def _attend(self) -> None:
        """Ask, say again, and watch, until the port is gone or the base has to be cut off."""
        loop = asyncio.get_running_loop()
        while not self._broken.is_set():
            now = loop.time()
            is_silent = now - self._heard_s > SILENT_S
            if (
                is_silent or self.state.base is None or self.state.state != ONLINE
            ) and now - self._asked_s > ASK_EVERY_S:
                self._asked_s = now
                self._write(line.pack(line.ASK))
            if is_silent and self.state.state == ONLINE:
                log.error("the base station %s at %s says nothing", self.name, self._path)
                self.state.state = SILENT
            for number, down in list(self._down.items()):
                if now >= down.next_s:
                    self._say(number, down, now)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._broken.wait(), SAY_AGAIN_S)

    @property
    def name(self) -> str:
        """Eight hex digits; "?" before it has said who it is."""
        return "?" if self.state.base is None else topics.device_name(self.state.base)

    # To the base

    def send(self, data: bytes) -> bool:
        """Let it send these bytes. False when it is not there, or has too much to send."""
        if self.state.state != ONLINE or len(self._down) >= MOST_DOWN:
            return False
        if any(down.payload == data for down in self._down.values()):
            return True
        self._next_id = (self._next_id + 1) % 0x10000
        down = self._down[self._next_id] = _Down(data)
        self._say(self._next_id, down, asyncio.get_running_loop().time())
        return True

    def _say(self, number: int, down: _Down, now: float) -> None:
        if down.says >= MOST_SAYS:
            log.warning("the base station %s does not take what it is to send", self.name)
            del self._down[number]
            return
        down.says += 1
        down.next_s = now + SAY_AGAIN_S
        self._write(line.pack(line.DOWN, struct.pack(line.DOWN_LAYOUT, number) + down.payload))

    def took(self, boot: int, seq: int) -> bool:
        """A frame of it is committed. False when it is another base by now: it says the frame again."""
        self._pending.discard((boot, seq))
        if boot != self._boot or self._serial is None:
            return False
        self._write(line.pack(line.TOOK, struct.pack(line.TOOK_LAYOUT, boot, seq)))
        return True

    def _write(self, data: bytes) -> None:
        if self._serial is None:
            return
        self._out += data
        self._flush()

    def _flush(self) -> None:
        if self._serial is None:
            return
        loop = asyncio.get_running_loop()
        try:
            while self._out:
                written = self._serial.write(self._out[:READ_BYTES]) or 0
                del self._out[:written]
                if not written:
                    break
        except serial.SerialTimeoutException:
            pass  # its buffer is full
        except (OSError, serial.SerialException) as error:
            self._lost(error)
            return
        if self._out:
            loop.add_writer(self._serial.fileno(), self._flush)
        else:
            loop.remove_writer(self._serial.fileno())
        if len(self._out) > 64 * READ_BYTES:
            self._lost(OSError("it does not take what is written"))

    # From the base

    def _readable(self) -> None:
        assert self._serial is not None
        try:
            data = self._serial.read(READ_BYTES)
        except (OSError, TypeError, serial.SerialException) as error:
            self._lost(error)
            return
        for text in self._lines.feed(data):
            self._take(text)

    def _lost(self, error: Exception) -> None:
        if not self._broken.is_set():
            log.error("the base station %s at %s is gone: %s", self.name, self._path, error)
            self.state.error = str(error)
            self._broken.set()

    def _take(self, text: bytes) -> None:
        now = asyncio.get_running_loop().time()
        self._recent.append(now)
        if len(self._recent) == MAD_LINES and now - self._recent[0] < MAD_IN_S:
            log.error(
                "the base station %s at %s has gone mad and is cut off for %g s", self.name, self._path, CUT_OFF_S
            )
            self.state.state, self.state.error = CUT_OFF, f"{MAD_LINES} lines in {MAD_IN_S:g} s"
            self._broken.set()
        if self._broken.is_set():
            return
        found = line.unpack(text)
        if found is None:
            if text.startswith(line.MARK):
                self.state.bad_lines += 1
            elif text.strip():
                log.info("base station %s: %s", self.name, text[:200].decode(errors="replace").strip())
            return
        self._heard_s = now
        kind, payload = found
        if kind == line.HELLO and len(payload) == struct.calcsize(line.HELLO_LAYOUT):
            self._hello(payload)
        elif self.state.state != ONLINE:
            return  # it is asked who it is, and says the rest again
        elif kind == line.UP and len(payload) > 4:
            self._up(payload)
        elif kind == line.BEAT and len(payload) == struct.calcsize(line.BEAT_LAYOUT):
            names = ("uptime_s", "heard", "broken", "sent", "waiting", "lost", "airtime_ms", "bad_lines")
            self.state.beat |= dict(zip(names, struct.unpack(line.BEAT_LAYOUT, payload), strict=True))
        elif kind == line.DONE and len(payload) == struct.calcsize(line.DONE_LAYOUT):
            number, result = struct.unpack(line.DONE_LAYOUT, payload)
            if self._down.pop(number, None) is not None and result not in (line.QUEUED, line.SENT):
                log.warning("the base station %s does not send an answer: result %d", self.name, result)

    def _hello(self, payload: bytes) -> None:
        base, *firmware, boot, up_hz, factor, down_hz = struct.unpack(line.HELLO_LAYOUT, payload)
        if (base, boot, ONLINE) != (self.state.base, self._boot, self.state.state):
            log.info("base station %s at %s: %d Hz, SF%d", topics.device_name(base), self._path, up_hz, factor)
        self._boot = boot
        self.state.base, self.state.state = base, ONLINE
        version = ".".join(str(part) for part in firmware)
        self.state.beat |= {"firmware": version, "up_hz": up_hz, "factor": factor, "down_hz": down_hz}

    def _up(self, payload: bytes) -> None:
        seq = struct.unpack(">I", payload[:4])[0]
        key = (self._boot, seq)
        if key in self._pending or len(self._pending) >= MOST_PENDING:
            return  # the writer is at it; or the base says it again later
        topic = topics.base_up(self.name)
        message = Uplink(topic, payload, len(payload), self._clock(), qos=1, mid=seq, generation=self._boot)
        if self._intake.put(message):
            self._pending.add(key)
