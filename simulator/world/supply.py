"""A board's supply and reset.

Starts its process, starts it again after a reset, and stops a crash loop from going on for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from sigap.problem import Problem

log = logging.getLogger("sigap.world")
PWRON, HARD, WDT, DEEPSLEEP, SOFT = 1, 2, 3, 4, 5  # machine.*_RESET of the ESP32 port
CAUSES = {"power": PWRON, "hard": HARD, "wdt": WDT, "soft": SOFT, "died": HARD, "deepsleep": DEEPSLEEP}
PIN_WAKE, TIMER_WAKE = 2, 4  # machine.PIN_WAKE, TIMER_WAKE
DEEP_START_S = 0.5  # with what a process takes to start, the 0.7 s of a chip
BACKOFF_FIRST_S, BACKOFF_LAST_S = 0.1, 5.0
FREE_RESTARTS = 2  # these come at once
OUTPUT_LIMIT_S = 1.0

Process = asyncio.subprocess.Process


class Supply:
    """States: "off", "starting" (no boot report yet), "running", "asleep" (deep sleep: no process), "failed".

    Failed is a board that the world gave up on; powering it off and on starts it again.
    spawn(run): starts the process. attend(process): runs beside it, to the end of its output.
    gone(): called when it has ended, whatever the reason.
    restarts: so many resets in a row are allowed, each within `steady_s` of its start; waits grow from the third on.
    """

    def __init__(
        self,
        name: str,
        event: Callable[..., None],
        spawn: Callable[[int], Awaitable[Process]],
        attend: Callable[[Process], Awaitable[None]],
        gone: Callable[[], None],
        restarts: int,
        steady_s: float,
    ) -> None:
        self._name, self._event, self._spawn, self._attend, self._gone = name, event, spawn, attend, gone
        self._restart_limit, self._steady_s = restarts, steady_s
        self.state = "off"
        self.run = 0  # number of the process, to know a late one
        self.resets = 0
        self.started_because = "power"
        self.powered_at = 0.0
        self.at_prompt = False  # its files have run: what happens now, somebody has typed
        self.woken = 0  # machine.wake_reason() of this start
        self._nap_s: float | None = None
        self._awake = asyncio.Event()
        self._ended_because = "died"
        self._process: Process | None = None
        self._life: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process and self._process.returncode is None else None

    def on(self) -> None:
        """Connect the supply. Without effect on a board that is on."""
        if self._life and not self._life.done():
            return
        self.powered_at = time.monotonic()
        self.state = "starting"
        self._event("power", on=True)
        self._life = asyncio.create_task(self._live(), name=f"board {self._name}")

    async def off(self) -> None:
        """Cut the supply: SIGKILL at once. Returns when the process is gone and its pins are dark."""
        life, self._life = self._life, None
        if life:
            life.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await life
        if self.state != "off":
            self.state = "off"
            self._event("power", on=False)

    def reset(self, cause: str = "hard") -> None:
        """The reset button ("hard"), or what the board asked for ("soft", "hard", "wdt").

        RAM is lost, flash stays.
        """
        if self.pid and self._process:
            self._ended_because = cause if cause in CAUSES else "hard"
            self._event("reset", cause=cause)
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    def sleep_deep(self, for_s: float | None) -> None:
        """The board wants deep sleep: its process ends, and starts again after so long or with wake()."""
        self._nap_s = for_s
        self._awake.clear()
        self.reset("deepsleep")

    def wake(self) -> None:
        """The contact that ends a deep sleep."""
        self._awake.set()

    async def _nap(self) -> None:
        self.state, self.woken = "asleep", TIMER_WAKE
        try:
            await asyncio.wait_for(self._awake.wait(), self._nap_s)
            self.woken = PIN_WAKE
        except TimeoutError:
            pass
        self.state = "starting"
        await asyncio.sleep(DEEP_START_S)

    async def _live(self) -> None:
        cause, quick = "power", 0
        try:
            while True:
                began = time.monotonic()
                self.started_because, self._ended_because = cause, "died"
                await self._run_once()
                cause = self._ended_because
                if cause == "died" and self.at_prompt and self._process and (self._process.returncode or 0) >= 0:
                    cause = "soft"  # Ctrl-D, or sys.exit()
                    self._event("reset", cause=cause)
                if cause == "died":
                    self._event("died", returncode=self._process.returncode if self._process else None)
                self.resets += 1
                self.woken = 0
                if cause == "deepsleep":
                    await self._nap()
                is_steady = cause == "deepsleep" or self.at_prompt or time.monotonic() - began >= self._steady_s
                quick = 0 if is_steady else quick + 1
                if quick > self._restart_limit:
                    self._give_up(f"{quick} resets in a row, the last one: {cause}")
                    return
                if quick > FREE_RESTARTS:
                    wait_s = min(BACKOFF_LAST_S, BACKOFF_FIRST_S * 2 ** (quick - FREE_RESTARTS - 1))
                    log.warning("%s: reset %d in a row (%s); next start in %.1f s", self._name, quick, cause, wait_s)
                    self._event("crash-loop", resets=quick, cause=cause, wait_s=wait_s)
                    await asyncio.sleep(wait_s)
        except (Problem, OSError) as error:
            self._give_up(str(error))

    def _give_up(self, reason: str) -> None:
        self.state = "failed"
        log.error("%s: gave up: %s", self._name, reason)
        self._event("gave-up", reason=reason)

    async def _run_once(self) -> None:
        self.run += 1
        self.state, self.at_prompt = "starting", False
        self._process = running = await self._spawn(self.run)
        attending = asyncio.ensure_future(self._attend(running))
        try:
            await running.wait()
            await asyncio.wait([attending], timeout=OUTPUT_LIMIT_S)  # the last that it has said
        finally:
            if running.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    running.kill()
                await running.wait()
            attending.cancel()
            self.state = "starting"  # until the next boot report, or until off() or _give_up() says otherwise
            self._gone()


def describe(supply: Supply) -> dict[str, Any]:
    """What `board list` shows of a supply."""
    return {"state": supply.state, "pid": supply.pid, "resets": supply.resets}
