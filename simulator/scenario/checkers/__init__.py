"""Checkers watch the promises of the architecture in every run; each is a file's worth of one promise or two."""

from __future__ import annotations

from simulator.scenario.checkers.base import Broken, Checker
from simulator.scenario.checkers.device import (
    CountersNeverBack,
    EveryGestureIsAnAlarm,
    IdentitiesNeverReused,
    UnreceiptedStaysInJournal,
)
from simulator.scenario.checkers.line import (
    EveryAlarmArrives,
    NoQueueAboveItsBound,
    ReceiptedIsStored,
    SilenceIsNoticed,
)
from simulator.scenario.checkers.people import NoTestIsDispatched, ShownIsTrue

ALL: tuple[type[Checker], ...] = (
    ReceiptedIsStored,
    UnreceiptedStaysInJournal,
    IdentitiesNeverReused,
    CountersNeverBack,
    NoTestIsDispatched,
    SilenceIsNoticed,
    ShownIsTrue,
    NoQueueAboveItsBound,
    EveryGestureIsAnAlarm,
    EveryAlarmArrives,
)

__all__ = ["ALL", "Broken", "Checker"]
