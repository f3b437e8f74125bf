"""Promises of the line from the button to the store: receipts, arrival, silence, bounds."""

from __future__ import annotations

from typing import Any

from panic_wire.frames import RECEIPT
from simulator.scenario.checkers.base import Checker, read_status
from simulator.scenario.checkers.device import ALARM
from simulator.scenario.model import part_names

SETTLE_US = 60_000_000  # a world in which all has been well for so long has nothing left to tell
AIR_SETTLE_US = 300_000_000  # over LoRa a wait is up to 128 s long
SILENCE_US = 90_000_000  # keepalive 30 s and a half (MQTT), then the broker tells the gateway; and some room
JOURNAL = 64  # firmware/panic/journal.py: CAPACITY


def _disturbs_all(entry: dict[str, Any]) -> bool:
    """Something happened to broker or gateway that every button feels."""
    happened = entry["what"] in ("stopped", "continued", "killed", "started", "starts", "cannot-commit")
    return happened and entry["who"] in ("broker", "gateway")


class ReceiptedIsStored(Checker):
    name = "receipt-is-commit"
    promise = "The gateway sends a receipt only when the alarm is in its store"

    def downlink(self, button: str, frame: bytes) -> None:
        status = read_status(self.stage, button, frame)
        if status is None or not status[1]:
            return
        self.seen += 1
        key = (button, status[1])
        if key not in {(each["device"], each["activation"]) for each in self.stage.store.alarms()}:
            said = "a receipt" if status[0].stage == RECEIPT else f"stage {status[0].stage}"
            self.fail(f"{button} was sent {said} for alarm {status[1]}, which is not in the store")

    def end(self) -> None:
        """And none has gone from the store since: what was receipted is there still."""
        stored = {(each["device"], each["activation"]) for each in self.stage.store.alarms()}
        for button in self.stage.buttons:
            for name in [] if self.stage.is_worn(button) else self.stage.journal_at_end(button):
                if name.startswith("r") and (button, int(name[1:], 16)) not in stored:
                    self.fail(f"{button} has a receipt for alarm {int(name[1:], 16)}, which is not in the store")


class EveryAlarmArrives(Checker):
    """Of an alarm that the button made, if everything on its way has been well for a minute."""

    name = "alarm-arrives"
    promise = "An alarm arrives when there is a way, however late"

    def __init__(self, stage: Any) -> None:
        super().__init__(stage)
        self._made: dict[tuple[str, int], int] = {}
        self._trouble_us: dict[str, int] = {}
        self._ended: set[str] = set()
        self._by_air = {n for part in stage.scenario.buttons if part.lora for n in part_names(part)}

    def see(self, entry: dict[str, Any]) -> None:
        who, what = entry["who"], entry["what"]
        found = ALARM.match(entry["text"]) if what == "console" else None
        if found and not found[1]:
            self._made[who, int(found[2])] = entry["at_us"]
        elif _disturbs_all(entry) or what == "base":
            self._trouble_us["all"] = entry["at_us"]
        elif what in ("power", "wifi", "network", "reset", "worn", "replayed"):
            self._trouble_us[who] = entry["at_us"]
        if what == "revoked":
            self._ended.add(entry["button"])

    def _has_way(self, button: str) -> bool:
        trouble = max(self._trouble_us.get(button, 0), self._trouble_us.get("all", 0))
        well = self.stage.has_way(button) and button not in self._ended
        settle_us = SETTLE_US if button not in self._by_air else AIR_SETTLE_US
        return well and self.stage.now_us - trouble > settle_us

    def end(self) -> None:
        stored = {(each["device"], each["activation"]) for each in self.stage.store.alarms()}
        for (button, activation), at_us in self._made.items():
            if self.stage.now_us - at_us > SETTLE_US and self._has_way(button):
                self.seen += 1
                if (button, activation) not in stored:
                    self.fail(f"{button}: alarm {activation} has a way and has not arrived", at_us)


class SilenceIsNoticed(Checker):
    """Of buttons that stay connected. One that sleeps says goodbye to the broker each time: only its next heartbeat,
    missed, could tell, and the gateway does not watch heartbeats yet."""

    name = "silence-noticed"
    promise = "A button that falls silent is shown as such in its supervised time"

    def __init__(self, stage: Any) -> None:
        super().__init__(stage)
        self._since: dict[str, int] = {}
        self._services_us = 0
        self._sleeping = {n for part in stage.scenario.buttons if part.power != "mains" for n in part_names(part)}

    def see(self, entry: dict[str, Any]) -> None:
        who, what = entry["who"], entry["what"]
        if _disturbs_all(entry):
            self._services_us = entry["at_us"]
        elif what == "power" and entry["on"]:
            self._since.pop(who, None)
        elif what == "power" and who not in self._sleeping:
            since = self._since[who] = entry["at_us"]
            self.stage.at(since + SILENCE_US, lambda: self._look(who, since))

    def _look(self, button: str, since: int) -> None:
        if self._since.get(button) != since or self._services_us >= since or not self.stage.serves():
            return
        self.seen += 1
        if self.stage.store.devices()[button]["online"]:
            self.fail(f"{button} has been without power for {SILENCE_US // 1_000_000} s and counts as online")


class NoQueueAboveItsBound(Checker):
    name = "bounded"
    promise = "No queue grows above its bound"

    def end(self) -> None:
        self.seen += 1
        for what, most, bound in self.stage.queues():
            if most > bound:
                self.fail(f"{most} messages waited {what}, of {bound}")
        for button in self.stage.buttons:
            if not self.stage.is_worn(button) and len(names := self.stage.journal_at_end(button)) > JOURNAL:
                self.fail(f"{button} has {len(names)} alarms in its journal, of {JOURNAL}")
