"""Puts a scenario on a virtual world: makes its buttons, plans its steps, remembers what hands did."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from simulator import observe
from simulator.scenario import model
from simulator.scenario.hands import script
from simulator.scenario.lora_way import LoraWay
from simulator.scenario.model import Scenario, part_names
from simulator.scenario.seen import Seen
from simulator.scenario.watched import Gesture
from simulator.virtual.board import Board
from simulator.virtual.broker import QUEUE_LIMIT
from simulator.virtual.energy import EMPTY_MV, HOUR_US, Ledger
from simulator.virtual.gateway import Store, Task
from simulator.virtual.world import Button, Registry, VirtualWorld, root_key

BATTERY_LOOK_US = 10_000_000
GATEWAY_QUEUE = 22_000  # gateway/ingest/intake.py: MOST_QOS0 + MOST_QOS1
BAD_LOOK_UP_S = 0.5
PSRAM_KB = 200  # a T-Beam has 8 MiB of PSRAM
ASLEEP_HEARTBEAT_S = 3600  # as `sigap provision` writes it


@dataclass
class Stage:
    """The world of one scenario. Use as a context manager, then run()."""

    scenario: Scenario
    seed: int
    folder: Path
    make_store: Callable[[Path], Registry]
    more: dict[str, Any] = field(default_factory=dict)

    def __enter__(self) -> Stage:
        places = random.Random(f"{self.seed}/places")
        rows = [list(base.row) for base in self.scenario.bases]
        buttons = [one for part in self.scenario.buttons for one in _buttons(part, rows, places)]
        self.world = VirtualWorld(self.folder, buttons, seed=self.seed, make_store=self.make_store, **self.more)
        self.world.air.loss = self.scenario.air_loss
        self.chance = random.Random(f"{self.seed}/stage")
        for base in self.scenario.bases:
            self.world.add_base(base.name, list(base.row), place=base.place)
            self.world.bases[base.name].noise = base.noise
        self.way = LoraWay(self)
        self._seen = Seen()
        self.world.trace.watchers.append(self._seen.note)
        self._journals: dict[str, list[str]] = {}
        self.recorded: dict[str, list[tuple[str, bytes]]] = {}
        self._start()
        for step in self.scenario.steps:
            self._plan(step)
        return self

    def __exit__(self, *_: object) -> None:
        self.world.__exit__()

    def who(self, pattern: str) -> list[str]:
        """The buttons that a `who` names, in order."""
        names = list(self.world.boards)
        return names if pattern == "all" else [name for name in names if fnmatchcase(name, pattern)]

    # What the checkers look at (simulator.scenario.watched)

    @property
    def now_us(self) -> int:
        return self.world.kernel.now_us

    @property
    def buttons(self) -> list[str]:
        return list(self.world.boards)

    @property
    def store(self) -> Store:
        return self.world.store

    def device(self, button: str) -> str:
        return self.world.device_names[button]

    def key(self, button: str) -> bytes:
        return root_key(self.seed, button)

    def pins(self, button: str) -> list[dict[str, Any]]:
        board = self.world.boards[button]
        led, buzzer = board.electrics.wired["led"], board.electrics.wired["buzzer"]
        return observe.translated(board.pins.since(), led["pin"], led["active_high"], buzzer)

    def is_worn(self, button: str) -> bool:
        return bool(self.world.boards[button].worn)

    def journal(self, button: str) -> list[str]:
        return self.world.journal(button)

    def serves(self) -> bool:
        service, gateway = self.world.broker.service, self.world.gateway
        return service.listening and not service.silent and gateway.running and not gateway.full

    def has_way(self, button: str) -> bool:
        board = self.world.boards[button]
        quality = board.link.quality
        well = board.on and not board.failed and board.has_wifi()
        well = well and quality.up and quality.down and quality.loss < 0.3
        return (well and self.serves()) or self.way.is_open(button)

    def queues(self) -> list[tuple[str, int, int]]:
        broker, gateway = self.world.broker, self.world.gateway
        return [
            ("at the broker", broker.most_waiting, QUEUE_LIMIT),
            ("in the gateway", gateway.most_queued, GATEWAY_QUEUE),
        ]

    def told(self) -> Sequence[tuple[int, Task]]:
        return self.world.gateway.told

    def at(self, at_us: int, do: Callable[[], None]) -> None:
        self.world.kernel.at(at_us, do)

    def gestures(self) -> list[Gesture]:
        return self._seen.gestures()

    def journal_at_end(self, button: str) -> list[str]:
        """The names in a button's journal when the run is over: read once, whoever asks."""
        if button not in self._journals:
            self._journals[button] = self.world.journal(button)
        return self._journals[button]

    def said(self, button: str) -> list[observe.Said]:
        """What the button's light has said, in order: in test mode it speaks another language."""
        return self._seen.said(button, self.pins(button), self.now_us)

    def _start(self) -> None:
        kernel = self.world.kernel
        self.world.gateway.start()
        for station in self.world.stations.values():
            kernel.at(self.chance.randrange(3_000_000), station.power_on, station)
        for part in self.scenario.buttons:
            for name in part_names(part):
                board = self.world.boards[name]
                at_us = self.chance.randrange(3_000_000)
                if part.powered:
                    kernel.at(at_us, board.power_on, board)
                if part.battery:
                    kernel.at(at_us, lambda board=board: self._look_at_battery(board), board)

    def _look_at_battery(self, board: Board) -> None:
        now, ledger = self.world.kernel.now_us, board.ledger
        assert ledger.capacity_mah is not None
        left_mah = ledger.capacity_mah - ledger.mah(now)
        if left_mah <= 0:
            self._empty(board)
        else:  # again when it could be empty at the earliest
            board.set_battery(ledger.mv(now))
            lasts_us = int(left_mah / ledger.most_ma() * HOUR_US)
            self.world.kernel.after(max(BATTERY_LOOK_US, lasts_us), lambda: self._look_at_battery(board), board)

    def _empty(self, board: Board) -> None:
        self.world.trace.add(self.world.kernel.now_us, board.name, "battery", mv=EMPTY_MV)
        board.power_off()
        board.failed = True  # nobody charges it

    def _plan(self, step: model.Step) -> None:
        at_us = int(step.at_s * 1e6)
        method = getattr(self, "_do_" + ("outside" if isinstance(step, model.Outside) else step.do))
        if isinstance(step, model.Press | model.Hold):
            method(step, at_us)  # hands are known beforehand, edge by edge
            return
        if isinstance(step, model.BrokerStep | model.GatewayStep | model.Outside | model.BaseStep | model.AirStep):
            self.world.kernel.at(at_us, lambda: method(step))
            return
        for name in self.who(step.who):
            spread = getattr(step, "spread_s", 0.0)
            moment = at_us + int(self.chance.uniform(0, spread) * 1e6)
            board = self.world.boards[name]
            self.world.kernel.at(moment, lambda board=board: method(step, board), board)

    # Hands

    def _do_press(self, step: model.Press, at_us: int) -> None:
        for name in self.who(step.who):
            moment = at_us + int(self.chance.uniform(0, step.spread_s) * 1e6)
            steps = script(step.hands, step.presses, self.chance, bounce=step.bounce)
            self.world.boards[name].press(steps, moment)

    def _do_hold(self, step: model.Hold, at_us: int) -> None:
        for name in self.who(step.who):
            self.world.boards[name].press([(0.0, 0), (step.for_s * 1000, 1)], at_us)

    # Supply and surroundings

    def _do_power(self, step: model.Power, board: Board) -> None:
        if step.up:
            board.power_on()
        else:
            board.power_off()

    def _do_reset(self, step: model.Reset, board: Board) -> None:
        if board.on:
            self.world.trace.add(self.world.kernel.now_us, board.name, "reset", cause="hard", why="planned")
            board.reset("hard")

    def _do_crash(self, step: model.Crash, board: Board) -> None:
        self.world.trace.add(self.world.kernel.now_us, board.name, "fault")
        board.tell({"fault": "memory"}, self.world.kernel.now_us)

    def _do_wifi(self, step: model.Wifi, board: Board) -> None:
        keys = ("up", "password", "rssi_dbm", "portal")
        changes = {key: getattr(step, key) for key in keys if getattr(step, key) is not None}
        names = [point["ssid"] for point in [board.wifi, *board.wifi["more"]]]
        board.set_wifi(names.index(step.ssid) if step.ssid else 0, **changes)

    def _do_network(self, step: model.Network, board: Board) -> None:
        quality = board.link.quality
        before = {key: getattr(quality, key) for key in ("delay_us", "jitter_us", "loss", "up", "down")}
        given = {"loss": step.loss, "up": step.up, "down": step.down}
        given |= {"delay_us": None if step.delay_ms is None else int(step.delay_ms * 1000)}
        given |= {"jitter_us": None if step.jitter_ms is None else int(step.jitter_ms * 1000)}
        changes = {key: value for key, value in given.items() if value is not None}
        self.world.trace.add(self.world.kernel.now_us, board.name, "network", **changes)
        board.link.change(**changes)
        if step.for_s is not None:
            back = {key: before[key] for key in changes}

            def well() -> None:
                self.world.trace.add(self.world.kernel.now_us, board.name, "network", **back)
                board.link.change(**back)

            self.world.kernel.after(int(step.for_s * 1e6), well, board)

    def _do_names(self, step: model.Names, board: Board) -> None:
        is_bad = step.fails or step.stall_s >= BAD_LOOK_UP_S
        self.world.trace.add(self.world.kernel.now_us, board.name, "names", bad=is_bad, stall_s=step.stall_s)
        board.set_names(stall_us=int(step.stall_s * 1e6), fails=step.fails)

    def _do_sky(self, step: model.See, board: Board) -> None:
        sky = board.plan.sky
        if sky is not None:
            sky.view, sky.spoof = step.view, step.spoof_m
            self.world.trace.add(self.world.kernel.now_us, board.name, "sky", view=step.view, spoof_m=step.spoof_m)

    # Services

    def _do_broker(self, step: model.BrokerStep) -> None:
        broker = self.world.broker
        actions = {
            "stop": broker.stop,
            "continue": broker.go_on,
            "kill": self.world.kill_broker,
            "start": broker.start,
        }
        actions[step.what]()

    def _do_gateway(self, step: model.GatewayStep) -> None:
        gateway = self.world.gateway
        if step.what.startswith("disk"):
            gateway.full = step.what == "disk-full"
            self.world.trace.add(self.world.kernel.now_us, "gateway", step.what)
            return
        {"stop": gateway.stop, "continue": gateway.go_on, "kill": gateway.kill, "start": gateway.start}[step.what]()

    def _do_outside(self, step: model.Outside) -> None:
        gateway = self.world.gateway
        if step.do == "police":
            gateway.police_up = step.up
        else:
            gateway.relatives_up = step.up
        self.world.trace.add(self.world.kernel.now_us, step.do, "up" if step.up else "down")

    # LoRa

    def _do_base(self, step: model.BaseStep) -> None:
        for name, station in self.world.stations.items():
            if fnmatchcase(name, step.who):
                self.world.trace.add(self.world.kernel.now_us, name, "base", now=step.what)
                if step.what in ("unplug", "plug"):
                    self.world.bases[name].plugged = step.what == "plug"
                elif step.what == "on":
                    station.power_on()
                else:
                    station.power_off()

    def _do_air(self, step: model.AirStep) -> None:
        self.world.trace.add(self.world.kernel.now_us, "air", "base", now=f"loss {step.loss:g}")
        self.world.air.loss = step.loss

    # People

    def _do_operator(self, step: model.Operate, board: Board) -> None:
        of = [each for each in self.world.store.alarms() if each["device"] == board.name and each["test"] == step.test]
        if not of:
            self.world.trace.add(self.world.kernel.now_us, "operator", "nothing-there", button=board.name)
            return
        data = {"disposition": step.disposition} if step.stage == "closed" else {}
        self.world.gateway.act(of[-1]["incident"], step.stage, "operator:Operator", **data)

    def _do_command(self, step: model.CommandStep, board: Board) -> None:
        self.world.gateway.command(board.name, step.what, step.setting)

    def _do_revoke(self, step: model.Revoke, board: Board) -> None:
        self.world.store.revoke(board.name, self.world.kernel.now_us)
        self.world.trace.add(self.world.kernel.now_us, "gateway", "revoked", button=board.name)

    def _do_replay(self, step: model.Replay, board: Board) -> None:
        broker = self.world.broker
        recorded = list(self.recorded.get(board.name, []))
        topic = f"sigap/v1/d/{self.world.device_names[board.name]}/up"
        noise = [(topic, self.chance.randbytes(self.chance.randrange(0, 60))) for _ in range(step.garbage)]
        self.world.trace.add(self.world.kernel.now_us, board.name, "replayed", frames=len(recorded), garbage=len(noise))
        for name, payload in recorded + noise:
            broker.route(name, payload, 1, False)
        self.way.replay(board.name, step.garbage)


def _buttons(part: model.ButtonPart, rows: list[list[int]], chance: random.Random) -> list[Button]:
    settings: dict[str, Any] = {
        "site": part.site,
        "silent": part.silent,
        "wants_tests": part.wants_tests,
        "heartbeat_s": part.heartbeat_s or (None if part.power == "mains" else ASLEEP_HEARTBEAT_S),
    }
    device: dict[str, Any] = {"power": part.power, "hold_is_sos": part.hold_is_sos}
    plan: dict[str, Any] = {"wear_limit": part.wear_limit}
    if part.lora:
        device |= {"board": "tbeam", "lora": {"plan": [list(row) for row in part.plan] or rows}}
        plan |= {"board": "tbeam", "heap_kb": PSRAM_KB}
    return [
        Button(
            name,
            settings=dict(settings),
            wifi={"join_ms": part.join_ms, **_around(part)},
            networks=[{"ssid": point.ssid, "password": point.password} for point in part.wifi],
            track=part.track,
            sky=part.sky,
            ticks_ms=part.ticks_ms,
            device=device,
            by_name=part.by_name,
            plan={**plan, "ledger": _ledger(part.battery)},
            lora=part.lora or "",
            place=_near(part, chance),
        )
        for name in part_names(part)
    ]


def _near(part: model.ButtonPart, chance: random.Random) -> tuple[float, float]:
    """A place within radius_m."""
    if not part.radius_m:
        return part.place
    far, angle = part.radius_m * math.sqrt(chance.random()), chance.uniform(0, 2 * math.pi)
    return part.place[0] + far * math.cos(angle), part.place[1] + far * math.sin(angle)


def _around(part: model.ButtonPart) -> dict[str, Any]:
    """The access points of a button as the world has them."""
    points = [point.model_dump() for point in part.wifi]
    return {**points[0], "more": points[1:]} if points else {}


def _ledger(battery: model.Battery | None) -> Ledger:
    return Ledger(capacity_mah=battery.charge_mah, drain_ma=battery.drain_ma) if battery else Ledger()
