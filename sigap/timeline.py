"""One press as a timeline: when the gateway committed each stage, and when the board's light said it.

Both are milliseconds since the third press, on this machine's one clock, and both are seen from outside: a stage by
a database connection of our own, which sees only what is committed, a light by the board's pins. Between two looks lie
one to two milliseconds; a stage gets the time of the last look that did not see it, so that it never seems to come
after what it caused.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import sqlalchemy as sa

from gateway.store.engine import Store
from gateway.store.schema import alarms, events
from panic_wire.frames import alarm_id
from panic_wire.topics import device_name
from simulator import observe

STAGES = ("pressed", "received", "accepted", "relatives", "acknowledged", "dispatched", "on_scene", "closed")
SHOWN = ("sending", "received", "acknowledged", "dispatched")
KINDS = {"opened": "received", "alarm_joined": "received"}  # events whose stage has another name
LOOK_EVERY_S = 0.001


def stage_of(kind: str) -> str | None:
    """The stage that an event of this kind is, or None."""
    stage = KINDS.get(kind, kind)
    return stage if stage in STAGES else None


class Watch:
    """Looks for committed stages of a device's newest alarm, in a thread, from entering until leaving."""

    def __init__(self, store: Store, device_id: int) -> None:
        self._store, self._device_id = store, device_id
        self._ended = threading.Event()
        self._changed = threading.Condition()
        self._seen: dict[str, float] = {}
        self._error: BaseException | None = None
        self._looked_at = time.time() * 1000
        self.alarm = ""
        with store.read() as conn:
            self._after = conn.execute(sa.select(sa.func.coalesce(sa.func.max(events.c.id), 0))).scalar_one()
        self._thread = threading.Thread(target=self._look, name="timeline", daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def seen(self) -> dict[str, float]:
        """{stage: the last look of a second connection before it was committed, Unix ms}."""
        with self._changed:
            if self._error:
                raise self._error
            return dict(self._seen)

    def wait(self, stage: str, limit_s: float) -> bool:
        """Until the stage is committed; False when it is not within the limit."""
        deadline = time.monotonic() + limit_s
        with self._changed:
            while stage not in self._seen and self._error is None and time.monotonic() < deadline:
                self._changed.wait(max(0.0, deadline - time.monotonic()))
        return stage in self.seen()

    def _look(self) -> None:
        try:
            while not self._ended.wait(LOOK_EVERY_S):
                self._look_once()
        except BaseException as error:  # noqa: BLE001 (raised again in `seen`)
            with self._changed:
                self._error = error
                self._changed.notify_all()

    def _look_once(self) -> None:
        of_device = sa.select(alarms.c.incident_id).where(alarms.c.device_id == self._device_id)
        fresh = sa.select(events).where(events.c.id > self._after, events.c.incident_id.in_(of_device))
        before, self._looked_at = self._looked_at, time.time() * 1000
        with self._store.read() as conn:
            found = conn.execute(fresh.order_by(events.c.id)).all()
            if found and not self.alarm:
                self.alarm = alarm_id(self._device_id, self._activation(conn))
        if not found:
            return
        with self._changed:
            for event in found:
                self._after = event.id
                stage = stage_of(event.kind)
                if stage is not None:
                    self._seen.setdefault(stage, before)
            self._changed.notify_all()

    def _activation(self, conn: sa.Connection) -> int:
        newest = sa.select(alarms.c.activation).where(alarms.c.device_id == self._device_id)
        return conn.execute(newest.order_by(alarms.c.received_at.desc()).limit(1)).scalar_one()


def timeline(watch: Watch, device_id: int, pressed_at: float, pins: list[dict[str, Any]]) -> dict[str, Any]:
    """The document of `sigap run --once --json`.

    pressed_at: the third press, Unix ms. pins: the board's log since before the press.
    """
    # On a machine that stalls, the last look may lie before the press; the stage does not.
    stages = {name: max(0.0, at) for name, at in _since(pressed_at, watch.seen(), STAGES).items()}
    return {
        "device": device_name(device_id),
        "alarm": watch.alarm,
        "stages": {"pressed": 0} | stages,
        "shown": _since(pressed_at, observe.first(pins, pressed_at), SHOWN),
    }


def missing_from(document: dict[str, Any]) -> list[str]:
    """What did not come, as a person would say it."""
    stages = [stage for stage in STAGES if stage not in document["stages"]]
    shown = [f"{word} on the light" for word in SHOWN if word not in document["shown"]]
    return stages + shown


def as_text(document: dict[str, Any]) -> str:
    """The timeline for a terminal: one line a stage, with a bar, and what the light said."""
    stages, shown = document["stages"], document["shown"]
    lines = [f"alarm {document['alarm']} of device {document['device']}", ""]
    for stage in STAGES:
        if stage not in stages:
            lines.append(f"  {stage:14}   did not come")
            continue
        light = f"   light: {shown[stage]:,.0f} ms" if stage in shown else ""
        lines.append(f"  {stage:14} {stages[stage]:10,.0f} ms{light}")
        if stage == "pressed" and "sending" in shown:
            lines[-1] += f"   light: sending, {shown['sending']:,.0f} ms"
    return "\n".join(lines)


def _since(zero: float, times: dict[str, float], names: tuple[str, ...]) -> dict[str, float]:
    return {name: round(times[name] - zero, 1) for name in names if name in times}
