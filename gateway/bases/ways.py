"""All ways to and from devices as one: the broker's link, phones' calls by HTTPS, and base stations at serial ports."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from sqlalchemy.exc import SQLAlchemyError

from gateway.bases.port import BasePort, State
from gateway.clock import now_us
from gateway.ingest.calls import GENERATION, Calls
from gateway.ingest.intake import Intake, Uplink
from gateway.ingest.link import Link
from gateway.store.engine import Store
from gateway.supervision import bases as roll
from panic_wire import topics
from sigap.problem import Problem

log = logging.getLogger("sigap.bases")

LOOK_EVERY_S, NOTE_EVERY_S = 1.0, 30.0


class Ways:
    """What the writer and the stages' destination speak to; from any thread, once run() runs."""

    def __init__(
        self, link: Link, intake: Intake, ports: list[str], store: Store, changed: Callable[[], None] = lambda: None
    ) -> None:
        self._link, self._store, self._changed = link, store, changed
        self.calls = Calls(intake)
        self._ports = [BasePort(each, intake) for each in ports]
        self._loop: asyncio.AbstractEventLoop | None = None

    async def run(self) -> None:
        """Attend to every port; never returns."""
        self._loop = asyncio.get_running_loop()
        await asyncio.gather(self._note_states(), *(self._keep(port) for port in self._ports))

    async def _keep(self, port: BasePort) -> None:
        """A fault in one port's part costs neither the others nor the broker's link: it begins again."""
        while True:
            try:
                await port.run()
            except Exception:
                log.exception("the part for the base station at %s had a fault; it begins again", port.state.port)
            await asyncio.sleep(LOOK_EVERY_S)

    async def _note_states(self) -> None:
        """Into the store what changes, at once, and signs of life now and then."""
        try:
            await asyncio.to_thread(self._silence)
        except (SQLAlchemyError, Problem) as error:
            log.error("base stations cannot be called silent in the store: %s", error)
        noted: dict[str, tuple[str, float]] = {}
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            for state in self.states():
                was, at = noted.get(state.port, ("", 0.0))
                if state.base is None or (state.state == was and loop.time() - at < NOTE_EVERY_S):
                    continue
                noted[state.port] = (state.state, loop.time())
                try:
                    if await asyncio.to_thread(self._note, state):
                        self._changed()
                except (SQLAlchemyError, Problem) as error:
                    noted.pop(state.port)
                    log.error("what a base station says of itself is not in the store: %s", error)

    def _silence(self) -> None:
        with self._store.write() as conn:
            roll.silence_all(conn, now_us())

    def _note(self, state: State) -> bool:
        assert state.base is not None
        beat = {**state.beat, "bad_lines_here": state.bad_lines}
        with self._store.write() as conn:
            return roll.note(conn, state.base, state.state, beat, state.port, now_us())

    @property
    def connected(self) -> bool:
        """The broker's link."""
        return self._link.connected

    @property
    def has_bases(self) -> bool:
        return any(port.state.state == roll.ONLINE for port in self._ports)

    def states(self) -> list[State]:
        """Of each port."""
        return [port.state for port in self._ports]

    def publish(self, topic: str, payload: bytes, done: Callable[[], None] | None = None) -> bool:
        """To a base station's port where the topic is its; to the broker otherwise."""
        port = self._port_of(topic)
        if port is None:
            if self.calls.answer(topic, payload):
                if done is not None:
                    done()  # who waits has it, as the broker would
                return True
            return self._link.publish(topic, payload, done)
        assert self._loop is not None
        self._loop.call_soon_threadsafe(port.send, payload)
        return True

    def acknowledge(self, message: Uplink) -> bool:
        """Who sent it may forget it."""
        if message.generation == GENERATION:
            return self.calls.took(message)
        port = self._port_of(message.topic)
        if port is None:
            return self._link.acknowledge(message)
        assert self._loop is not None
        self._loop.call_soon_threadsafe(port.took, message.generation, message.mid)
        return True

    def renew(self) -> None:
        self._link.renew()

    def _port_of(self, topic: str) -> BasePort | None:
        if not topic.startswith(topics.BASE_PREFIX):
            return None
        parsed = topics.parse(topic)
        return next((port for port in self._ports if parsed and port.name == parsed[1]), None)
