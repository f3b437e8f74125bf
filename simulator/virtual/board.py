"""One board in virtual time, from outside: supply, reset, pins, receiver, WiFi, wear of its flash."""

from __future__ import annotations

import copy
import heapq
import random
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from simulator.radio.air import Air, Place
from simulator.virtual.energy import Ledger
from simulator.virtual.gps import Sky
from simulator.virtual.kernel import LOOKAHEAD_US, NEVER, Kernel
from simulator.virtual.nap import PIN_WAKE, TIMER_WAKE, Nap
from simulator.virtual.net import Link, Service
from simulator.virtual.process import BoardDied, BoardHung, Process
from simulator.virtual.trace import Trace
from simulator.world.electrics import Electrics
from simulator.world.pinlog import PinLog
from simulator.world.presses import Script
from simulator.world.protocol import VERSION
from simulator.world.settings import WIFI
from simulator.world.supply import CAUSES
from simulator.world.wiring import DEFAULT

BOOT_US = 700_000  # from power to the first line of boot.py (design: waking takes 0.7 s)
PAGE_US, ERASE_US = 700, 45_000  # W25Q32JV datasheet, 9.6: page program 0.7 ms, sector erase 45 ms, typical
TLS_US = 900_000  # an ECDHE-ECDSA handshake with the ESP32 at 160 MHz keeps it busy for about that long
NAME_US = 30_000  # a look-up of a name that a nearby server answers
WEAR_LIMIT = 100_000  # erases of a sector, W25Q32JV datasheet, 1
RESTARTS_LIMIT = 20  # resets in a row, each within STEADY_US
STEADY_US = 10_000_000
CONSOLE_LINES = 400
SKY_AHEAD_US = 4_000_000
SERIAL_BYTES = 128
MOST_IN = 12  # things that a board is told at once


@dataclass
class Plan:
    """What a board is. folder: for its image and console. ticks_ms: what ticks_ms says at its first power-on."""

    name: str
    folder: Path
    image: Path
    seed: int
    index: int = 0
    wifi: dict[str, Any] = field(default_factory=dict)
    networks: list[dict[str, str]] = field(default_factory=list)  # that it was provisioned with; none: any
    sky: Sky | None = None
    ticks_ms: int = 0
    heap_kb: int = 140
    wear_limit: int = WEAR_LIMIT
    tls_us: int = TLS_US
    board: str = DEFAULT  # how it is wired: a name of simulator/world/boards.json
    battery_mv: int | None = None
    air: Air | None = None  # what its LoRa radio speaks on, if it has one
    lora: str = ""  # its chip: sx1262 or sx1276; "": what the board is sold with
    place: Place = (0.0, 0.0, 0.0)
    on_line: Callable[[str], None] | None = None  # told of what it prints, in place of the console: a base station's
    ledger: Ledger = field(default_factory=Ledger)


class Board:
    """Made off; power_on(). Everything is to be called by the kernel's events, with time standing still."""

    def __init__(self, plan: Plan, kernel: Kernel, trace: Trace, services: dict[tuple[str, int], Service]) -> None:
        self.plan, self.name, self._kernel, self._trace = plan, plan.name, kernel, trace
        self.chance = random.Random(f"{plan.seed}/{plan.name}")
        self.link = Link(kernel, self.chance, self.tell, services, self)
        self.wifi = copy.deepcopy({**WIFI, "join_ms": 1_500, **plan.wifi})
        self.link.points = self._points()
        self.names = {"stall_us": NAME_US, "fails": False}
        self.pins = PinLog()
        self.console: deque[str] = deque(maxlen=CONSOLE_LINES)
        self.electrics = Electrics(plan.board, plan.battery_mv)
        if plan.air:
            self.electrics.fit_radio(self.name, plan.lora, plan.air, plan.place, self._radio_moved)
        self._asking = False  # it waits for its radio's answer
        self.button_pin: int = self.electrics.wired["button"]["pin"]
        self.outside = {self.button_pin: 1, **self.electrics.levels()}
        self.erases: Counter[int] = Counter()
        self.worn: list[int] = []
        self.resets = 0
        self.overflows = 0
        self.failed = False
        self.now_us = 0
        self._wake_us = NEVER
        self._process: Process | None = None
        self._inbox: list[tuple[int, int, dict[str, Any]]] = []
        self._order = count()
        self._started_us = 0
        self._quick = 0
        self._used = False
        self._nap: Nap | None = None
        self._asleep = False  # light sleep: its receiver speaks to nobody
        self._woken, self._woken_us = 0, 0
        self._rtc = ""
        self._clock = (0, 0)  # what its calendar said when it went to deep sleep, and when that was
        self.ledger = plan.ledger
        self.ledger.wire(self.electrics.wired)
        self.ledger.has_gps = plan.sky is not None
        kernel.runners.append(self)

    # The kernel's side

    @property
    def on(self) -> bool:
        return self._process is not None

    @property
    def is_napping(self) -> bool:
        """In deep sleep: off, but it has power and will start."""
        return self._nap is not None

    @property
    def wake_us(self) -> int:
        if self._process is None or self._asking:
            return NEVER
        due = self._inbox[0][0] if self._inbox else NEVER
        sky = self.plan.sky.next_us if self.plan.sky and not self._asleep else NEVER
        return max(min(self._wake_us, due, sky), self.now_us)

    def grant(self, horizon_us: int) -> None:
        """Let it run to the horizon; what it will hear until then goes with it."""
        if self.plan.sky:
            # Not far ahead: it may be put to rest, and its memory has room for little anyway (MOST_IN).
            horizon_us = min(horizon_us, max(self.now_us, min(self.plan.sky.next_us, horizon_us)) + SKY_AHEAD_US)
            for at_us, text in self.plan.sky.speak(horizon_us):
                if self.electrics.feeds("gps"):
                    self.tell({"uart": 1, "data": text}, at_us)
        due = []
        while self._inbox and self._inbox[0][0] <= horizon_us:
            if len(due) == MOST_IN:
                horizon_us = max(due[-1][0], self.now_us)  # the rest with the next grant: its memory is small
                break
            at_us, _, message = heapq.heappop(self._inbox)
            due.append([at_us, message])
        try:
            assert self._process
            self._process.send({"run": horizon_us, "in": due})
        except BoardDied as error:
            self._ended("died", str(error))

    def collect(self) -> None:
        """Take its report."""
        if self._process is None:
            return
        try:
            report = self._process.receive()
        except BoardHung:
            self._ended("wdt", "hung")
            return
        except BoardDied as error:
            for line in self._process.console():
                self._see("console", text=line)
            self._ended("died", str(error))
            return
        self.now_us, self._wake_us = report["at"], report["wake"]
        for at_us, message in report["out"]:
            self._hear(at_us, message)
        for line in self._process.console():
            self._see("console", text=line)

    def _see(self, what: str, at_us: int | None = None, **fields: Any) -> None:
        moment_us = self.now_us if at_us is None else at_us
        if what == "console":
            self.console.append(fields["text"])
        self._kernel.saw(moment_us, self.plan.index, lambda: self._trace.add(moment_us, self.name, what, **fields))

    def _hear(self, at_us: int, message: dict[str, Any]) -> None:
        self.ledger.hear(at_us, message)
        if "cpu" in message:
            asleep = message["cpu"] == "light"
            if asleep and at_us > self._woken_us:  # not only to feed the watchdog
                self._see("sleeps", at_us)
            self._asleep, self._woken_us = asleep, self._woken_us if asleep else at_us
        elif "radio" in message:
            self.ledger.join_us = self.wifi["join_ms"] * 1000 if self.wifi["up"] else None
        elif "rtc" in message:
            self._rtc = message["rtc"]
        elif "uart" in message and self.plan.sky:
            self.plan.sky.told(message["data"], at_us)
            if self.plan.sky.next_us == NEVER:  # what it was going to say, it does not
                self._inbox = [each for each in self._inbox if "uart" not in each[2] or each[0] <= at_us]
                heapq.heapify(self._inbox)
        elif message.get("reset") == "deepsleep":
            self._wake_us, self._clock = NEVER, (message["clock_s"], at_us)
            self._kernel.at(at_us, lambda process=self._process: self._sleep_deep(Nap.of(message, at_us), process))
        elif "net" in message:
            self._kernel.at(at_us, lambda: self._network(message))
        elif "reset" in message:
            self._wake_us = NEVER
            self._ended(message["reset"], "asked" if message["reset"] != "wdt" else "bitten")
        elif "pin" in message or "pwm" in message:
            radio = self.electrics.radio
            if radio and message.get("pin") == radio.select:
                self._kernel.at(at_us, lambda: radio.choose(message["value"]))
            else:
                self._driven(at_us, message)
        elif "spi" in message or "line" in message:
            self._asking = True
            self._kernel.at(at_us, lambda process=self._process: self._ask_radio(message, process))
        elif "i2c" in message:
            self._transfer(at_us, message)
        elif "erase" in message:
            block = message["erase"]
            self.erases[block] += 1
            if self.erases[block] >= self.plan.wear_limit and block not in self.worn:
                self.worn.append(block)
                self._see("worn", at_us, block=block)
        elif "overflow" in message:
            self.overflows += message["overflow"]
            self._see("overflow", at_us, edges=message["overflow"])
        elif "console" in message:
            self._printed(message["console"], at_us)
        else:
            kind = next(iter(message))
            self._see(kind, at_us, value=message[kind])

    def _printed(self, text: str, at_us: int) -> None:
        if self.plan.on_line and text.startswith("~"):
            told = self.plan.on_line
            self._kernel.at(at_us, lambda: told(text))
        else:
            self._see("console", at_us, text=text)

    def type(self, data: bytes) -> None:
        """To its serial line, now."""
        for at in range(0, len(data), SERIAL_BYTES):
            self.tell({"stdin": data[at : at + SERIAL_BYTES].decode("latin-1")}, self._kernel.now_us)

    def _driven(self, at_us: int, message: dict[str, Any]) -> None:
        kept = {key: message[key] for key in ("pin", "value", "pwm", "freq", "duty", "t_ms") if key in message}

        def note() -> None:
            self.pins.add({**kept, "by": "board", "at": at_us / 1000})
            kept.pop("t_ms", None)
            self._trace.add(at_us, self.name, "pwm" if "pwm" in kept else "pin", **kept)

        self._kernel.saw(at_us, self.plan.index, note)

    def _transfer(self, at_us: int, message: dict[str, Any]) -> None:
        answer = self.electrics.transfer(message)
        if fault := answer["i2c"].get("fault"):
            self._see("i2c-fault", at_us, message=fault)
        self.tell(answer, at_us)
        self._electrics_moved(at_us)

    def _ask_radio(self, message: dict[str, Any], process: Process | None) -> None:
        """A transfer or a reset, at its moment: what every board did before it has happened."""
        radio = self.electrics.radio
        if self._process is not process or radio is None:
            return
        answer = radio.transfer(message) if "spi" in message else radio.reset(message)
        if "spi" in answer and (fault := answer["spi"].get("fault")):
            self._see("spi-fault", message=fault)
        self._asking = False
        self.tell(answer, self._kernel.now_us)

    def _radio_moved(self, pin: int, level: int) -> None:
        self.outside[pin] = level
        now = self._kernel.now_us
        self.tell({"pin": pin, "value": level, "t_us": now}, now)

    def _electrics_moved(self, at_us: int) -> None:
        if moved := self.electrics.irq_moved():
            pin, level = moved
            self.outside[pin] = level
            self.tell({"pin": pin, "value": level, "t_us": at_us}, at_us)

    def set_battery(self, battery_mv: int | None = None, usb: bool | None = None) -> None:
        """The battery's voltage, a plug in or out; None leaves it."""
        news = self.electrics.surround(battery_mv, usb)
        if news:
            self.tell(news, self._kernel.now_us)
        self._electrics_moved(self._kernel.now_us)

    def _network(self, message: dict[str, Any]) -> None:
        number = message["net"]
        if "connect" in message:
            host, port = message["connect"]
            self.link.connect(number, host, port, message["ap"])
        elif connection := self.link.connections.get(number):
            connection.written(bytes.fromhex(message["data"]) if "data" in message else None)

    def tell(self, message: dict[str, Any], at_us: int) -> None:
        """To the board, at `at_us`, or as soon after that as it can hear it."""
        if self._process is not None:
            at_us = max(at_us, self.now_us)
            heapq.heappush(self._inbox, (at_us, next(self._order), message))
            self._kernel.touch(self)

    # Supply

    def power_on(self, cause: str = "power") -> None:
        """Connect the supply; without effect on a board that is on."""
        if self._process is not None or self._nap is not None or self.failed:
            return
        kernel = self._kernel
        self._trace.add(kernel.now_us, self.name, "power", on=True, cause=cause)
        self._asleep = False
        if cause == "power":
            self._rtc = ""
            self.electrics.power_on()
        else:
            self.electrics.start()
        if cause == "deepsleep":
            self.ledger.switch(kernel.now_us, "cpu", "awake")
        else:
            self.ledger.power(kernel.now_us, True)
        self.outside |= self.electrics.levels()
        self.now_us = self._started_us = kernel.now_us + BOOT_US
        setup = {
            "protocol": VERSION,
            "now_us": self.now_us,
            "lookahead_us": LOOKAHEAD_US,
            "seed": self.chance.getrandbits(30),
            "cause": CAUSES[cause],
            "ticks_ms": 0 if self._used else self.plan.ticks_ms,
            "wake": self._woken if cause == "deepsleep" else 0,
            "rtc": self._rtc,
            "clock_s": self._clock[0] + (self.now_us - self._clock[1]) // 1_000_000 if cause == "deepsleep" else 0,
            "unique_id": f"24{self.plan.index & 0xFF:02x}{self.name.encode().hex()[:8]:0<8}",
            "pins": {str(pin): value for pin, value in self.outside.items()},
            "wifi": self.wifi,
            **self.electrics.setup(),
            "names": self.names,
            "tls_us": self.plan.tls_us,
            "stdin": self.plan.on_line is not None,
            "flash": {"page_us": PAGE_US, "erase_us": ERASE_US, "worn": self.worn},
        }
        self._used = True
        console = self.plan.folder / f"{self.name}.console"
        self._process = Process(self.plan.image, self.plan.heap_kb, console, setup)
        self._wake_us = self.now_us
        if self.plan.sky and cause != "deepsleep":
            self.plan.sky.power_on(self.now_us)
        kernel.touch(self)

    def power_off(self) -> None:
        """Cut the supply: what is under way on the flash stays half done, pins go dark."""
        if self._process is None and self._nap is None:
            return
        self._nap = None
        self._stop()
        self.electrics.power_off()
        now = self._kernel.now_us
        self.ledger.power(now, False)
        self._trace.add(now, self.name, "power", on=False)

    def _stop(self) -> None:
        """RAM is gone, pins are dark."""
        if self._process is not None:
            self._process.kill()
        self._process = None
        self._wake_us, self._inbox, self._asking = NEVER, [], False
        self.link.power_off()
        self._kernel.touch(self)
        for entry in self.pins.darkening(self._kernel.now_us / 1000):
            self.pins.add(entry)

    def _sleep_deep(self, nap: Nap, process: Process | None) -> None:
        if self._process is not process:
            return  # it lost its power just then
        now = self._kernel.now_us
        self._stop()
        self._nap = nap
        self.ledger.sleep_deep(now)
        self._trace.add(now, self.name, "sleeps-deep", until_us=nap.until_us)
        if nap.pin is not None and nap.ends_by(nap.pin, self.outside.get(nap.pin, 1)):
            self._wake(nap, PIN_WAKE)
        elif nap.until_us is not None:
            self._kernel.at(nap.until_us, lambda: self._wake(nap, TIMER_WAKE), self)

    def _wake(self, nap: Nap, reason: int) -> None:
        if self._nap is nap:
            self._nap, self._woken = None, reason
            self.power_on("deepsleep")

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process = None
        self._kernel.touch(self)

    def reset(self, cause: str = "hard") -> None:
        """The reset button, the watchdog, a brown-out."""
        if self._process is None and self._nap is None:
            return
        self.resets += 1
        self._quick = self._quick + 1 if self._kernel.now_us - self._started_us < STEADY_US else 0
        self.power_off()
        if self._quick > RESTARTS_LIMIT:
            self.failed = True
            self._trace.add(self._kernel.now_us, self.name, "gave-up", resets=self._quick)
            return
        self.power_on(cause)

    def _ended(self, cause: str, why: str) -> None:
        """The process asked to be reset, or must be: at the moment it has reached."""
        self._wake_us = NEVER
        process = self._process

        def again() -> None:
            if self._process is process:
                self._trace.add(self._kernel.now_us, self.name, "reset", cause=cause, why=why)
                self.reset(cause)

        self._kernel.at(self.now_us, again)

    # The surroundings

    def set_wifi(self, point: int = 0, **changes: Any) -> None:
        """Change an access point: up, ssid, password, rssi_dbm, join_ms, dhcp_ms, channel, portal."""
        if point:
            self.wifi["more"][point - 1].update(changes)
        else:
            self.wifi.update(changes)
        numbered = {"point": point, **changes} if point else changes
        self._trace.add(self._kernel.now_us, self.name, "wifi", **numbered)
        self.tell({"wifi": copy.deepcopy(self.wifi)}, self._kernel.now_us)
        if "up" in changes or "portal" in changes:
            self.link.change(points=self._points())

    def has_wifi(self) -> bool:
        """There is an access point that lets it in and through."""
        known = [(None, None), *((network["ssid"], network["password"]) for network in self.plan.networks)]
        return any(
            point.get("up", True) and not point.get("portal") and (point.get("ssid"), point.get("password")) in known
            for point in self._points()
        )

    def _points(self) -> list[dict[str, Any]]:
        """The access points, by their numbers."""
        return [dict(self.wifi), *copy.deepcopy(self.wifi["more"])]

    def set_names(self, **changes: Any) -> None:
        """How a look-up of a name goes: stall_us, fails."""
        self.names.update(changes)
        self.tell({"names": dict(self.names)}, self._kernel.now_us)

    def press(self, script: Script, at_us: int, pin: int | None = None) -> None:
        """A thumb: [(ms, level)] from `at_us` on. A board without power is pressed in vain."""
        pin = self.button_pin if pin is None else pin
        for at_ms, level in script:
            moment = at_us + int(at_ms * 1000)
            self._kernel.at(moment, lambda moment=moment, level=level: self._move(pin, level, moment), self)

    def _move(self, pin: int, level: int, moment: int) -> None:
        self.outside[pin] = level
        self.pins.add({"pin": pin, "value": level, "t_ms": None, "by": "world", "at": moment / 1000})
        self._trace.add(moment, self.name, "thumb", level=level)
        if self._process is not None and moment < self._started_us:
            # Before its firmware runs no pin has an interrupt: it only has a level, which is there at the start.
            self.tell({"level": {"pin": pin, "value": level}}, moment)
        else:
            self.tell({"pin": pin, "value": level, "t_us": moment}, moment)
        if self._nap is not None and self._nap.ends_by(pin, level):
            self._wake(self._nap, PIN_WAKE)
