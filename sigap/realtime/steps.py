"""The steps of a scenario, done to real boards, real Mosquitto, the real gateway and real links."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Callable
from typing import Any

from gateway.clock import now_us
from gateway.commands.options import refresh_broker
from gateway.registry.devices import revoke_device
from sigap.local import BROKER, GATEWAY, MAIL, POLICE
from sigap.problem import Problem
from sigap.realtime.stage import RealStage, sky
from simulator.scenario import model
from simulator.scenario.hands import script
from simulator.world.client import WorldError

PROCESSES = {"broker": BROKER, "gateway": GATEWAY, "police": POLICE, "relatives": MAIL}
PAST = {"stop": "stopped", "continue": "continued", "kill": "killed", "start": "started"}
WELL = {"delay_ms": 0.0, "jitter_ms": 0.0, "loss": 0.0, "up": True, "down": True}
POWER_SPREAD_US = 3_000_000


class Steps:
    """plan() puts every step of the scenario on the stage's list; what they do, they do in the runner's threads."""

    def __init__(self, stage: RealStage) -> None:
        self._stage, self._local = stage, stage.local
        self._chance = random.Random(f"{stage.seed}/stage")
        self._lines: dict[str, dict[str, Any]] = {name: dict(WELL) for name in stage.parts}
        self._locks = {name: threading.Lock() for name in [*stage.parts, *PROCESSES]}
        self._frozen: dict[str, contextlib.ExitStack] = {}

    def plan(self) -> None:
        for name, part in self._stage.parts.items():
            at_us = self._chance.randrange(POWER_SPREAD_US)
            if part.powered:
                self._stage.at(at_us, lambda name=name: self._power(name, True))
        for step in self._stage.scenario.steps:
            self._plan(step)

    def _plan(self, step: model.Step) -> None:
        at_us = int(step.at_s * 1e6)
        if isinstance(step, model.BrokerStep | model.GatewayStep | model.Outside):
            self._stage.at(at_us, lambda: self._service(step))
            return
        assert not isinstance(step, model.AirStep)  # sigap.realtime.able
        for name in self._stage.who(step.who):
            moment = at_us + int(self._chance.uniform(0, getattr(step, "spread_s", 0.0)) * 1e6)
            self._stage.at(moment, self._of_button(step, name))

    def _of_button(self, step: model.Step, name: str) -> Callable[[], None]:
        if isinstance(step, model.Press):
            levels = script(step.hands, step.presses, self._chance, bounce=step.bounce)
            return lambda: self._thumb(name, [[at_ms, level] for at_ms, level in levels])
        if isinstance(step, model.Hold):
            return lambda: self._thumb(name, [[0, 0], [step.for_s * 1000, 1]])
        method = getattr(self, f"_do_{step.do}")
        return lambda: method(step, name)

    def _note(self, who: str, what: str, **fields: Any) -> None:
        self._stage.add(self._stage.now_us, who, what, **fields)

    def _wrong(self, name: str, what: str, is_wrong: bool) -> None:
        (self._stage.trouble[name].add if is_wrong else self._stage.trouble[name].discard)(what)

    # Boards

    def _thumb(self, name: str, levels: list[list[float]]) -> None:
        with self._stage.client() as world:
            world.press(name, script=levels)

    def _power(self, name: str, on: bool) -> None:
        with self._locks[name], self._stage.client() as world:
            is_on = "power" not in self._stage.trouble[name]
            if on == is_on:
                return
            self._wrong(name, "power", not on)
            if on:
                self._note(name, "power", on=True, cause="power")
            world.power(name, on)
            if not on:
                self._note(name, "power", on=False)  # the board is gone: who looks into its flash finds it at rest

    def _do_power(self, step: model.Power, name: str) -> None:
        self._power(name, step.up)

    def _do_reset(self, step: model.Reset, name: str) -> None:
        with self._locks[name], self._stage.client() as world, contextlib.suppress(WorldError):  # it is off
            if "power" not in self._stage.trouble[name]:
                self._stage.planned[name] += 1
                world.reset(name)

    def _do_wifi(self, step: model.Wifi, name: str) -> None:
        changes = {key: getattr(step, key) for key in ("up", "password", "rssi_dbm") if getattr(step, key) is not None}
        self._note(name, "wifi", **changes)
        if step.up is not None:
            self._wrong(name, "wifi", not step.up)
        if step.password is not None:
            self._wrong(name, "password", True)
        with self._stage.client() as world:
            world.wifi(name, **changes)

    def _do_sky(self, step: model.See, name: str) -> None:
        track = self._stage.parts[name].track
        if track is None:
            return
        self._note(name, "sky", view=step.view, spoof_m=step.spoof_m)
        seen = sky(step.view)
        seen.pop("first_fix_s")  # it has been on for a while
        with self._stage.client() as world:
            world.gps(name, {"track": [list(point) for point in track], **seen})

    # Links

    def _do_network(self, step: model.Network, name: str) -> None:
        given = {key: getattr(step, key) for key in WELL}
        changes = {key: value for key, value in given.items() if value is not None}
        before = {key: self._lines[name][key] for key in changes}
        self._link(name, changes)
        if step.for_s is not None:
            self._stage.at(self._stage.now_us + int(step.for_s * 1e6), lambda: self._link(name, before))

    def _link(self, name: str, changes: dict[str, Any]) -> None:
        with self._locks[name]:
            line = self._lines[name]
            line |= changes
            self._note(name, "network", **changes)
            self._wrong(name, "line", not (line["up"] and line["down"]) or line["loss"] >= 0.3)
            faults = {key: line[key] for key in ("delay_ms", "jitter_ms", "loss")}
            self._stage.lines.set(f"board:{name}", cut="" if line["up"] else "black-hole", **faults)

    # Services

    def _service(self, step: model.BrokerStep | model.GatewayStep | model.Outside) -> None:
        what = ("start" if step.up else "kill") if isinstance(step, model.Outside) else step.what
        process = PROCESSES[step.do]
        with self._locks[step.do]:
            if what == "start" and not self._stage.stage.runs(process):
                self._stage.stage.start([process])
            elif what == "kill" and self._stage.stage.runs(process):
                self._thaw(process)
                self._stage.stage.kill(process)
            elif what == "stop" and self._stage.stage.serves(process):
                self._frozen[process] = contextlib.ExitStack()
                self._frozen[process].enter_context(self._stage.stage.frozen(process))
            elif what == "continue":
                self._thaw(process)
            (self._stage.down.add if what in ("stop", "kill") else self._stage.down.discard)(process)
            self._note(step.do, ("up" if step.up else "down") if isinstance(step, model.Outside) else PAST[what])

    def _thaw(self, process: str) -> None:
        if frozen := self._frozen.pop(process, None):
            frozen.close()

    def end(self) -> None:
        """Whatever is frozen goes on, so that it can end."""
        for process in list(self._frozen):
            self._thaw(process)

    # People

    def _do_operator(self, step: model.Operate, name: str) -> None:
        of = [each for each in self._stage.store.alarms() if each["device"] == name and each["test"] == step.test]
        if not of:
            self._note("operator", "nothing-there", button=name)
            return
        incident = self._stage.store.incident(of[-1]["incident"])
        fields = {"disposition": step.disposition} if step.stage == "closed" else {}
        try:
            self._stage.desk.act(incident, step.stage, **fields)
        except Problem as problem:  # the gateway is gone, or the stage no longer fits: a person would see the same
            self._note("operator", "refused", button=name, why=str(problem))

    def _do_command(self, step: model.CommandStep, name: str) -> None:
        self._stage.store.command(name, step.what, step.setting, self._stage.now_us)

    def _do_revoke(self, step: model.Revoke, name: str) -> None:
        with self._local.store.write() as conn:
            revoke_device(conn, name, now_us())
        refresh_broker(self._local.settings, self._local.store)
        self._note("gateway", "revoked", button=name)
