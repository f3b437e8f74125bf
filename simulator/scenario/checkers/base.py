"""What a checker is, and the frames it can read: it has every key of its world."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from panic_wire import topics
from panic_wire.frames import STATUS, FrameError, Header, unpack_header, unpack_status
from panic_wire.keys import downlink_key
from panic_wire.seal import open_frame
from simulator.scenario.watched import Watched


@dataclass(frozen=True)
class Broken:
    """A promise that did not hold: when (microseconds since the world's start), which, and what was seen."""

    promise: str
    at_us: int
    why: str


class Checker:
    """Made before the run; see(entry) for each entry of the trace; uplink and downlink for each frame at the broker;
    end() when the run is over. What they find goes to `broken`, MOST of them."""

    name = ""
    promise = ""
    MOST = 5

    def __init__(self, stage: Watched) -> None:
        self.stage = stage
        self.broken: list[Broken] = []
        self.seen = 0  # how often there was something to check

    def see(self, entry: dict[str, Any]) -> None: ...

    def uplink(self, button: str, frame: bytes) -> None: ...

    def downlink(self, button: str, frame: bytes) -> None: ...

    def end(self) -> None: ...

    def fail(self, why: str, at_us: int | None = None) -> None:
        if len(self.broken) < self.MOST:
            self.broken.append(Broken(self.name, self.stage.now_us if at_us is None else at_us, why))


def read_status(stage: Watched, button: str, frame: bytes) -> tuple[Header, int] | None:
    """(header, activation) of an authentic status frame to this button; activation 0 answers a heartbeat."""
    device = topics.device_id(stage.device(button))
    try:
        header, body = open_frame(downlink_key(stage.key(button), device), frame)
        return (header, unpack_status(body).activation) if header.type == STATUS else None
    except FrameError:
        return None


def read_header(frame: bytes) -> Header | None:
    try:
        return unpack_header(frame)
    except FrameError:
        return None
