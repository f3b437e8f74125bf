"""A gateway in virtual time: when it reads, commits, answers and dies. What it does then is the real one's code.

The order is the writer's (gateway/ingest/writer.py): all that has queued in one commit, then receipts, then
acknowledgements. Between any two of them it can be killed.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any, Protocol

from panic_wire import topics
from simulator.virtual.bases import BaseLine
from simulator.virtual.broker import Broker, Message
from simulator.virtual.kernel import Kernel
from simulator.virtual.trace import Trace

COMMIT_US = (2_000, 9_000)  # from the first message of a batch to its commit
ANSWER_US = 150  # from the commit to the receipts
START_US = 1_500_000
RETRY_US = 100_000
BATCH = 500
POLICE_US = (20_000, 80_000)  # what the police backend takes to accept
POLICE_RETRY_US = 1_000_000
LOOK_US = 500_000  # how often the gateway looks for commands that were asked for


@dataclass(frozen=True)
class Task:
    """Something to be told. to: "device", "police" or "relative". publish: (topic, payload) for a device."""

    id: str
    to: str
    incident: int
    stage: str
    publish: tuple[str, bytes] | None = None
    test: bool = False
    more: tuple[tuple[str, bytes], ...] = ()  # by other ways too


class Store(Protocol):
    """The gateway's own code over its own store; sigap/virtual_gateway.py is the one there is.

    Incidents are numbered in the order of their opening, as their ids are random.
    """

    def commit(self, messages: list[Message], now_us: int) -> list[tuple[str, bytes]]:
        """Take messages in one transaction; the answers to publish. OSError: nothing was committed."""
        ...

    def act(self, incident: int, stage: str, actor: str, data: dict[str, Any], now_us: int) -> bool: ...
    def tasks(self, now_us: int) -> list[Task]: ...
    def done(self, task: Task, now_us: int) -> None: ...
    def alarms(self) -> list[dict[str, Any]]: ...
    def events(self, after: int) -> list[dict[str, Any]]: ...
    def devices(self) -> dict[str, dict[str, Any]]: ...
    def counts(self) -> dict[str, int]: ...
    def command(self, name: str, what: str, setting: str, now_us: int) -> None: ...
    def orders(self, now_us: int) -> list[tuple[str, bytes]]: ...
    def upkeep(self, name: str) -> dict[str, Any]: ...
    def reopen(self) -> None: ...
    def close(self) -> None: ...


@dataclass
class Gateway:
    """start() it. full: the disk takes no commit. police_up, relatives_up: whether those can be reached."""

    kernel: Kernel
    trace: Trace
    broker: Broker
    store: Store
    chance: random.Random
    police_up: bool = True
    relatives_up: bool = True
    full: bool = False
    running: bool = False
    most_queued: int = 0
    told: list[tuple[int, Task]] = field(default_factory=list)  # to relatives and police

    def __post_init__(self) -> None:
        self._queue: list[Message] = []
        self._busy = False
        self._life = 0  # changes with each start, so that what was planned for an earlier life does not happen
        self._stopped = False
        self._event = 0
        self.bases: list[BaseLine] = []
        self._under_way: set[str] = set()

    def start(self) -> None:
        """The process starts; it reads START_US later."""
        self._life += 1
        life = self._life
        self.trace.add(self.kernel.now_us, "gateway", "starts")

        def ready() -> None:
            if life == self._life:
                self.store.reopen()
                self.running = True
                self._connect()
                for base in self.bases:
                    base.opened()
                self._tell()
                self._look_for_commands(life)

        self.kernel.after(START_US, ready)

    def _connect(self) -> None:
        """Connect to the broker, again each 200 ms until it is there."""
        if not self.running:
            return
        if not self.broker.service.listening or self.broker.service.silent:
            life = self._life
            self.kernel.after(200_000, lambda: self._connect() if life == self._life else None)
            return
        if self.broker.take is None:
            self.broker.attach(self._take)
            self._tell()

    def add_base(self) -> BaseLine:
        """A serial port, to which a base station may be attached."""
        listens = lambda: self.running and not self._stopped  # noqa: E731
        made = BaseLine(self.kernel, self.chance, listens, self._take)
        self.bases.append(made)
        return made

    def publish(self, topic: str, payload: bytes) -> bool:
        """To a base station's port where the topic is its, else to the broker."""
        for base in self.bases:
            if base.name is not None and topic == topics.base_down(base.name):
                base.send(payload)
                return True
        return self.broker.publish(topic, payload)

    def _acknowledge(self, mid: int) -> None:
        for base in self.bases:
            if mid in base.pending:
                base.acknowledge(mid)
                return
        if mid > 0:
            self.broker.acknowledge(mid)

    def kill(self) -> None:
        """kill -9: whatever was not committed is gone from here; the broker has it still."""
        self.trace.add(self.kernel.now_us, "gateway", "killed", queued=len(self._queue))
        self._life += 1
        self._queue, self._busy, self.running, self._under_way = [], False, False, set()
        self._stopped = False
        self.broker.detach()

    def stop(self) -> None:
        """SIGSTOP."""
        self._stopped = True
        self.trace.add(self.kernel.now_us, "gateway", "stopped")

    def go_on(self) -> None:
        """SIGCONT."""
        self._stopped = False
        self.trace.add(self.kernel.now_us, "gateway", "continued")
        self._work()
        self._tell()

    def broker_lost(self) -> None:
        """The connection broke: what was not acknowledged comes again on the next one."""
        self._queue = []
        self._connect()

    def _take(self, message: Message) -> None:
        self._queue.append(message)
        self.most_queued = max(self.most_queued, len(self._queue))
        self._work()

    def _work(self) -> None:
        if self._busy or self._stopped or not self.running or not self._queue:
            return
        self._busy = True
        life = self._life
        self.kernel.after(self.chance.randrange(*COMMIT_US), lambda: self._commit() if life == self._life else None)

    def _commit(self) -> None:
        life, batch = self._life, self._queue[:BATCH]
        if self._stopped or not batch:
            self._busy = False
            return
        try:
            if self.full:
                raise OSError(28, "no space left on the device")
            answers = self.store.commit(batch, self.kernel.now_us)
        except OSError as error:
            self.trace.add(self.kernel.now_us, "gateway", "cannot-commit", why=str(error.strerror))
            self.kernel.after(RETRY_US, lambda: self._commit() if life == self._life else None)
            return
        del self._queue[: len(batch)]
        self._report()

        def answer() -> None:
            if life != self._life:
                return
            self._busy = False
            for topic, payload in answers:
                self.publish(topic, payload)
            for message in batch:
                if message.qos:
                    self._acknowledge(message.mid)
            self._tell()
            self._work()

        self.kernel.after(ANSWER_US, answer)

    def act(self, incident: int, stage: str, actor: str, **data: Any) -> bool:
        """An operator, or the police: a stage of an incident. False: it changed nothing."""
        done = self.running and self.store.act(incident, stage, actor, data, self.kernel.now_us)
        self._report()
        self._tell()
        return done

    def command(self, button: str, what: str, setting: str) -> None:
        """An administrator asks something of a button; a gateway that runs notices within half a second."""
        self.trace.add(self.kernel.now_us, "gateway", "command", button=button, command=what, setting=setting)
        self.store.command(button, what, setting, self.kernel.now_us)
        self._look_for_commands(self._life)

    def _look_for_commands(self, life: int) -> None:
        def look() -> None:
            if life == self._life and self.running and not self._stopped and self.broker.take is not None:
                for topic, payload in self.store.orders(self.kernel.now_us):
                    self.broker.publish(topic, payload)

        self.kernel.after(LOOK_US, look)

    def _report(self) -> None:
        for event in self.store.events(self._event):
            self._event = event.pop("id")
            self.trace.add(event.pop("at_us"), "gateway", event.pop("kind"), **event)

    def _tell(self) -> None:
        """Work off the outbox: each destination on its own, tried again until it has it."""
        if not self.running or self._stopped:
            return
        life = self._life
        for task in self.store.tasks(self.kernel.now_us):
            if task.id in self._under_way:
                continue
            self._under_way.add(task.id)
            self.kernel.after(1_000, lambda task=task: self._try(task, life))

    def _try(self, task: Task, life: int) -> None:
        if life != self._life:
            return
        if self._stopped or not self._reach(task):
            self.kernel.after(POLICE_RETRY_US, lambda: self._try(task, life))
            return
        if task.to != "police":
            self._finish(task)
            return
        self.kernel.after(self.chance.randrange(*POLICE_US), lambda: self._accepted(task, life))

    def _reach(self, task: Task) -> bool:
        if task.publish is not None:
            for each in task.more:
                self.publish(*each)
            return self.publish(*task.publish)
        return self.police_up if task.to == "police" else self.relatives_up

    def _accepted(self, task: Task, life: int) -> None:
        if life == self._life:
            self._finish(task)
            self.act(task.incident, "accepted", "backend:police")

    def _finish(self, task: Task) -> None:
        self.store.done(task, self.kernel.now_us)
        self._under_way.discard(task.id)
        if task.publish is None:
            self.told.append((self.kernel.now_us, task))
            self.trace.add(self.kernel.now_us, "gateway", "told", to=task.to, incident=task.incident, stage=task.stage)
        self._tell()
