"""One virtual board, from outside: supply, reset button, pins, console, receivers around it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from simulator.radio.air import Air
from simulator.world import process
from simulator.world.chip import Chip
from simulator.world.electrics import Electrics
from simulator.world.pinlog import PinLog
from simulator.world.presses import Script, count_presses
from simulator.world.prompt import Prompt
from simulator.world.protocol import Message, ProtocolError, encode_for_board
from simulator.world.settings import WIFI, BoardSettings
from simulator.world.supply import CAUSES, Supply, describe

log = logging.getLogger("sigap.world")
CONSOLE_LINES = 1000
LINE_LIMIT_BYTES = 64 << 10


def wall_ms() -> float:
    return time.time() * 1000


class Board:
    """emit(event) is told of everything that happens; where() gives (port, token, launcher folder)."""

    def __init__(
        self,
        settings: BoardSettings,
        emit: Callable[[Message], None],
        where: Callable[[], tuple[int, str, Path]],
        restarts: int,
        steady_s: float,
        air: Air,
        settle: Callable[[], None],
    ) -> None:
        self.settings, self.name, self._emit, self._where = settings, settings.name, emit, where
        self.chip = Chip(settings)
        self.supply = Supply(self.name, self.event, self._spawn, self._attend, self._detach, restarts, steady_s)
        self._settle = settle
        self.pins = PinLog()
        self.console: deque[str] = deque(maxlen=CONSOLE_LINES)
        self.boot: Message | None = None  # the last boot report
        self.wifi: dict[str, Any] = {**WIFI, **settings.wifi}
        self.gps = settings.gps
        self.worn: tuple[int, int] | None = None  # first and last block that can no longer be written
        self.tear: int | None = None  # bytes that the next start may program before its power goes
        self.electrics = Electrics(settings.board, settings.battery_mv, settings.usb)
        self.electrics.fit_radio(self.name, settings.lora, air, (*settings.place, 0.0), self._radio_moved)
        self.outside: dict[int, int] = {settings.button_pin: 1, **self.electrics.levels()}
        self._wake: tuple[int, int] | None = None  # pin and level that end a deep sleep
        self._rtc = ""
        self._clock = (0, 0.0)  # what its calendar said when it went to deep sleep, and when that was
        self._prompt: Prompt | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._wdt: asyncio.TimerHandle | None = None
        self._wdt_ms = 0
        self._pressing = asyncio.Lock()
        self._asked: dict[int, asyncio.Future[Message]] = {}
        self._cut: asyncio.Future[None] | None = None  # kept while it runs

    def event(self, kind: str, **fields: Any) -> None:
        self._emit({"event": kind, "board": self.name, "at": wall_ms(), **fields})

    # Serial port

    def plug(self) -> None:
        """Give the board its serial port, if it is to have one. Raises Problem where that is not possible."""
        if self.settings.serial and self._prompt is None:
            self._prompt = Prompt(lambda: self.supply.state in ("starting", "running"), lambda: self.supply.pid)

    def unplug(self) -> None:
        if self._prompt:
            self._prompt.close()
            self._prompt = None

    @property
    def serial(self) -> str | None:
        """The path of the device that a terminal program opens."""
        return self._prompt.port.device if self._prompt else None

    def link_serial(self, folder: Path) -> None:
        """Name the device `folder`/<board> as well."""
        if self._prompt:
            self._prompt.port.link(folder / self.name)

    # Supply

    async def _spawn(self, run: int) -> asyncio.subprocess.Process:
        port, token, folder = self._where()
        first, last = self.worn or (-1, -1)
        tear = -1 if self.tear is None else self.tear
        self.tear = None
        if self._prompt:
            self._prompt.start(self.supply.started_because)
        return await process.spawn(
            folder=folder,
            name=self.name,
            image_path=self.settings.image,
            heap_kb=self.settings.heap_kb,
            sensors=bool(self.electrics.setup()),
            port=port,
            token=token,
            run=run,
            flash="" if (last, tear) == (-1, -1) else f"{first},{last},{tear}",
            prompt=self._prompt,
        )

    async def _attend(self, running: asyncio.subprocess.Process) -> None:
        async with asyncio.TaskGroup() as tasks:
            speaking = tasks.create_task(self._speak_gps())
            await self._read_console(running)
            speaking.cancel()

    def _detach(self) -> None:
        self.electrics.power_off()
        if self._prompt:
            self._prompt.gone()
        self._feed(None)
        if self._writer:
            self._writer.close()
            self._writer = None
        for future in self._asked.values():
            future.cancel()
        self._asked.clear()
        for entry in self.pins.darkening(wall_ms()):
            self._note(entry)

    async def _read_console(self, running: asyncio.subprocess.Process) -> None:
        assert running.stdout
        rest = b""
        while data := await running.stdout.read(4096):
            if self._prompt:
                self._prompt.printed(data)
            *lines, rest = (rest + data).split(b"\n")
            if len(rest) > LINE_LIMIT_BYTES:
                lines, rest = [*lines, rest], b""
            for line in lines:
                self._print(line)
        if rest:
            self._print(rest)

    def _print(self, line: bytes) -> None:
        text = line.decode(errors="replace").rstrip()
        self.console.append(text)
        self.event("console", text=text)

    # The board's line

    def attach(self, run: object, writer: asyncio.StreamWriter) -> Message:
        """A process says it is this board; returns what it must know.

        Raises ProtocolError for one of an earlier run.
        """
        if run != self.supply.run or self._writer or self.supply.pid is None:
            raise ProtocolError("stale-board", f"{self.name} is not waiting for this process", fatal=True)
        self._writer = writer
        if self.supply.started_because == "power":
            self.electrics.power_on()
        else:
            self.electrics.start()
        self.outside |= self.electrics.levels()
        return {
            "cause": CAUSES[self.supply.started_because],
            "ticks_ms": self.settings.ticks_ms if self.supply.started_because == "power" else 0,
            "unique_id": f"24{sum(self.name.encode()) & 0xFF:02x}{self.name.encode().hex()[:8]:0<8}",
            "pins": {str(pin): value for pin, value in self.outside.items()},
            "wifi": self.wifi,
            **self.electrics.setup(),
            "wake": self.supply.woken,
            **self._kept(),
            **({"serial": "raw" if self._prompt.raw else "friendly"} if self._prompt else {}),
        }

    def _kept(self) -> Message:
        """What the RTC has kept: all but a loss of power; its clock is told after deep sleep only."""
        if self.supply.started_because == "power":
            self._rtc = ""
        if self.supply.started_because != "deepsleep":
            return {"rtc": self._rtc}
        return {"rtc": self._rtc, "clock_s": self._clock[0] + int(time.monotonic() - self._clock[1])}

    def _look_at_wake(self) -> None:
        if self._wake is not None and self.outside.get(self._wake[0]) == self._wake[1]:
            self.supply.wake()

    def send(self, message: Message) -> bool:
        """To the board, if it runs. False when nobody is there to hear it."""
        if self._writer is None or self._writer.is_closing():
            return False
        self._writer.write(encode_for_board(message))
        return True

    def _note(self, entry: Message) -> None:
        entry = self.pins.add(entry)
        self._emit({"event": "pwm" if "pwm" in entry else "pin", "board": self.name, **entry})

    def receive(self, message: Message) -> None:
        """One message of the board. Unknown ones become events, so that nothing is lost silently."""
        if "pin" in message or "pwm" in message:
            entry = {key: message[key] for key in ("pin", "value", "pwm", "freq", "duty", "t_ms") if key in message}
            radio = self.electrics.radio
            if radio and message.get("pin") == radio.select:
                radio.choose(message["value"])  # hundreds in a second, and no news to anybody
                return
            self._note({**entry, "by": "board", "at": wall_ms() - time.monotonic() * 1000 + message["t_us"] / 1000})
        elif "feed" in message:
            self._feed(self._wdt_ms)
        elif "i2c" in message:
            self._transfer(message)
        elif "spi" in message or "line" in message:
            self._ask_radio(message)
        elif "wdt" in message:
            self._wdt_ms = int(message["wdt"])
            self.event("wdt", timeout_ms=self._wdt_ms)
            self._feed(self._wdt_ms)
        elif "boot" in message:
            self.boot, self.supply.state = message["boot"], "running"
            self.event("boot", **message["boot"])
            self.send({"go": 1})
        elif "serial" in message and self._prompt:
            self.supply.at_prompt = self.supply.at_prompt or message["serial"] == "prompt"
            self._prompt.told(message["serial"])
        elif "reset" in message:
            if message["reset"] == "deepsleep":
                self._clock = (message["clock_s"], time.monotonic())
                self._wake = tuple(message["wake"]) if message["wake"] else None
                self.supply.sleep_deep(None if message["sleep_ms"] is None else message["sleep_ms"] / 1000)
                self._look_at_wake()
            else:
                self.supply.reset(message["reset"])
        elif "rtc" in message:
            self._rtc = message["rtc"]
        elif "cpu" in message:
            self.event("cpu", state=message["cpu"])
        elif "radio" in message:
            self.event("radio", state=message["radio"])
        elif "memory" in message:
            if future := self._asked.pop(message["memory"].get("ask"), None):
                future.set_result(message["memory"])
        elif "main" in message:
            if message["main"] == "failed":
                log.error("%s: %s failed: %s", self.name, message["file"], message["error"].strip().splitlines()[-1])
            self.event("main", state=message["main"], file=message["file"], error=message.get("error"))
        else:
            self.event("board", message=message)

    def _feed(self, timeout_ms: int | None) -> None:
        if self._wdt:
            self._wdt.cancel()
            self._wdt = None
        if timeout_ms:
            loop = asyncio.get_running_loop()
            # The second step lets a feed be read that waits in the socket, if it was the world that stood
            # still.
            expire = lambda: setattr(self, "_wdt", loop.call_later(0.05, self.supply.reset, "wdt"))  # noqa: E731
            self._wdt = loop.call_later(timeout_ms / 1000, expire)

    # The surroundings

    def set_pin(self, pin: int, value: int | None, moment_s: float | None = None) -> Message:
        """Drive a pin from outside (None: let it float) at `moment_s` (time.monotonic(); now).

        Returns the log's entry.
        """
        moment_s = time.monotonic() if moment_s is None else moment_s
        if value is None:
            self.outside.pop(pin, None)
        else:
            self.outside[pin] = value
        self.send({"pin": pin, "value": value, "t_us": int(moment_s * 1e6)})
        self._look_at_wake()
        entry = {
            "pin": pin,
            "value": value,
            "t_ms": None,
            "by": "world",
            "at": wall_ms() + (moment_s - time.monotonic()) * 1000,
        }
        self._note(entry)
        return entry

    async def press(self, script: Script, pin: int | None = None) -> Message:
        """Play a script on the button.

        Returns {"presses": [{"down_at", "up_at"}], "edges": how many, "heard": the board was on throughout}.
        """
        pin = self.settings.button_pin if pin is None else pin
        edges, heard = [], True
        async with self._pressing:
            began = time.monotonic()
            for at_ms, value in script:
                moment = began + at_ms / 1000
                if (wait := moment - time.monotonic()) > 0:
                    await asyncio.sleep(wait)
                heard = heard and self.supply.state == "running"
                edges.append(self.set_pin(pin, value, moment))
        found = count_presses(edges)
        self.event("press", presses=found, heard=heard)
        return {"heard": heard, "presses": found, "edges": len(edges)}

    def _transfer(self, message: Message) -> None:
        """A transfer on the board's I2C bus."""
        answer = self.electrics.transfer(message)
        if fault := answer["i2c"].get("fault"):
            log.error("%s: %s", self.name, fault)
            self.event("i2c-fault", message=fault)
        self.send(answer)
        self._electrics_moved()
        if not self.electrics.feeds("chip"):
            self.event("unpowered", message="the program has switched off the chip's own supply")
            self._cut = asyncio.ensure_future(self.supply.off())

    def _ask_radio(self, message: Message) -> None:
        """A transfer on the SPI bus, or the radio's reset."""
        radio = self.electrics.radio
        assert radio
        self._settle()
        answer = radio.transfer(message) if "spi" in message else radio.reset(message)
        if "spi" in answer and (fault := answer["spi"].get("fault")):
            log.error("%s: %s", self.name, fault)
            self.event("spi-fault", message=fault)
        self.send(answer)

    def _radio_moved(self, pin: int, level: int) -> None:
        self.outside[pin] = level
        self.send({"pin": pin, "value": level, "t_us": time.monotonic_ns() // 1000})

    def _electrics_moved(self) -> None:
        if moved := self.electrics.irq_moved():
            self.set_pin(*moved)

    def set_battery(self, battery_mv: int | None = None, usb: bool | None = None) -> None:
        """The battery's voltage, a plug in or out; None leaves it."""
        if news := self.electrics.surround(battery_mv, usb):
            self.send(news)
        self._electrics_moved()
        self.event("battery", battery_mv=self.electrics.battery_mv)

    def set_wifi(self, changes: dict[str, Any]) -> None:
        unknown = set(changes) - set(self.wifi)
        if unknown:
            raise ProtocolError("bad-request", f"wifi has {', '.join(self.wifi)}; not {', '.join(sorted(unknown))}")
        self.wifi.update(changes)
        self.send({"wifi": self.wifi})
        self.event("wifi", **self.wifi)

    async def memory(self, limit_s: float = 5.0) -> Message:
        """Heap in bytes after a collection, by these keys:

        used, free, launcher (used before the firmware ran), firmware (the difference).
        """
        ask = max(self._asked, default=0) + 1
        future = self._asked[ask] = asyncio.get_running_loop().create_future()
        if self.boot is None or not self.send({"memory": ask}):
            self._asked.pop(ask)
            raise ProtocolError("board-off", f"{self.name} is not running")
        try:
            answer = await asyncio.wait_for(future, limit_s)
        except (TimeoutError, asyncio.CancelledError) as error:
            self._asked.pop(ask, None)
            raise ProtocolError("no-answer", f"{self.name} did not answer within {limit_s:g} s") from error
        launcher = self.boot["used"]
        return {
            "used": answer["used"],
            "free": answer["free"],
            "launcher": launcher,
            "firmware": answer["used"] - launcher,
        }

    async def _speak_gps(self) -> None:
        while True:
            await asyncio.sleep(1 - time.time() % 1)
            if self.gps and self.supply.state == "running" and self.electrics.feeds("gps"):
                for text in self.gps.sentences(time.monotonic() - self.supply.powered_at, datetime.now(UTC)):
                    self.send({"uart": self.gps.uart, "data": text})

    def summary(self) -> Message:
        """What `board list` shows."""
        return {
            "name": self.name,
            **describe(self.supply),
            "cause": self.boot["cause"] if self.boot else None,
            "wifi": "up" if self.wifi["up"] else "down",
            "gps": None if self.gps is None else ("sky" if self.gps.sky and self.gps.track else "no sky"),
            "image": str(self.settings.image),
            "board": self.settings.board,
            "button_pin": self.settings.button_pin,
            "battery_mv": self.electrics.battery_mv,
            "position": self._position(),
            "serial": self.serial,
        }

    def _position(self) -> tuple[float, float] | None:
        """(latitude, longitude) that the receiver says now; None without a fix, or while the board is off."""
        elapsed_s = time.monotonic() - self.supply.powered_at
        if self.gps is None or self.supply.state != "running" or not self.gps.has_fix(elapsed_s):
            return None
        return self.gps.position(elapsed_s)
