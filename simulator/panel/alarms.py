"""The timeline of each alarm: thumb and light as the world saw them, stages as the gateway recorded them."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

MOST = 50
SAME_PRESS_MS = 1500.0  # the gateway reckons a press back from when its frame came
STAGES = ("pressed", "received", "accepted", "relatives", "acknowledged", "dispatched", "on_scene", "closed")
SHOWN = ("sending", "received", "acknowledged", "dispatched", "test sending", "test received")


@dataclass
class Alarm:
    """Times are Unix ms. is_certain: the board was seen running when it was pressed."""

    board: str
    pressed_at: float
    is_thumb: bool
    is_certain: bool = False
    device: str | None = None
    alarm: str | None = None
    is_test: bool = False
    light: dict[str, float] = field(default_factory=dict)
    stages: dict[str, float] = field(default_factory=dict)

    @property
    def is_real(self) -> bool:
        return self.is_certain or bool(self.alarm or self.light)

    def document(self) -> dict[str, Any]:
        """Milliseconds since the third press, as in `sigap run --once --json`; negative: before it."""
        since = lambda times, names: {  # noqa: E731
            name: round(times[name] - self.pressed_at, 1) for name in names if name in times
        }
        return {
            "board": self.board,
            "device": self.device,
            "alarm": self.alarm,
            "test": self.is_test,
            "pressed_at": round(self.pressed_at, 1),
            "stages": {"pressed": 0} | since(self.stages, STAGES),
            # A real alarm's light, cut short by the next word, can look like a word of test mode, and the reverse.
            "shown": since(self.light, [word for word in SHOWN if word.startswith("test ") == self.is_test]),
        }


class Alarms:
    """The newest alarms of all boards."""

    def __init__(self) -> None:
        self._alarms: list[Alarm] = []

    def pressed(self, board: str, at: float, is_certain: bool) -> None:
        """A third press. is_certain: the board runs, so that this is an alarm whatever becomes of it."""
        for each in self._alarms:
            if each.board == board and abs(each.pressed_at - at) <= (1.0 if each.is_thumb else SAME_PRESS_MS):
                each.pressed_at, each.is_thumb = at, True  # the gateway knew of it first
                each.is_certain = each.is_certain or is_certain
                return
        self._add(Alarm(board, at, True, is_certain))

    def newest_press(self, board: str) -> float | None:
        """When the board's newest alarm was pressed."""
        found = self._newest(board)
        return found.pressed_at if found else None

    def lit(self, board: str, words: dict[str, float]) -> None:
        """What the light has said since the board's newest press: {word: when first}."""
        found = self._newest(board)
        if found is None:
            return
        for word, at in sorted(words.items(), key=lambda item: item[1]):
            # A word that is guessed from a light before a tone ("sending") comes before all others, or not at all.
            if word in SHOWN and word not in found.light and at >= max(found.light.values(), default=0.0):
                found.light[word] = at

    def recorded(self, rows: list[dict[str, Any]]) -> None:
        """What the gateway has: rows of ports.Gateway.timeline()."""
        for row in rows:
            found = next((each for each in self._alarms if each.alarm == row["alarm"]), None) or self._pressed_for(row)
            if found is None:
                found = Alarm(row["board"], row["pressed_at"], False)
                self._add(found)
            found.device, found.alarm, found.is_test = row["device"], row["alarm"], row["test"]
            found.stages = row["stages"]

    def documents(self) -> list[dict[str, Any]]:
        """Newest first."""
        real = [each for each in self._alarms if each.is_real]
        return [each.document() for each in sorted(real, key=lambda each: -each.pressed_at)]

    def _newest(self, board: str) -> Alarm | None:
        of_board = [each for each in self._alarms if each.board == board]
        return max(of_board, key=lambda each: each.pressed_at, default=None)

    def _pressed_for(self, row: dict[str, Any]) -> Alarm | None:
        """The press that became this alarm. After a power cut the gateway knows only that it was not later."""
        slack = SAME_PRESS_MS if row["is_exact"] else float("inf")
        waiting = [
            each
            for each in self._alarms
            if each.board == row["board"]
            and each.alarm is None
            and -slack <= each.pressed_at - row["pressed_at"] <= SAME_PRESS_MS
        ]
        return min(waiting, key=lambda each: abs(each.pressed_at - row["pressed_at"]), default=None)

    def _add(self, alarm: Alarm) -> None:
        self._alarms.append(alarm)
        self._alarms = sorted(self._alarms, key=lambda each: each.pressed_at)[-MOST:]


def as_csv(documents: list[dict[str, Any]]) -> str:
    """The documents as a table: one line an alarm, stages and the light's words in ms since the third press."""
    out = io.StringIO()
    writer = csv.writer(out)
    light = [f"light {word}" for word in SHOWN]
    writer.writerow(["board", "device", "alarm", "test", "pressed_at", *STAGES, *light])
    for each in documents:
        pressed = datetime.fromtimestamp(each["pressed_at"] / 1000, UTC).isoformat(timespec="milliseconds")
        about = [each["board"], each["device"], each["alarm"], "yes" if each["test"] else "no", pressed]
        stages = [each["stages"].get(stage, "") for stage in STAGES]
        writer.writerow([*about, *stages, *(each["shown"].get(word, "") for word in SHOWN)])
    return out.getvalue()
