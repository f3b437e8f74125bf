"""The way over LoRa in a scenario: whether it is open, what passes on it (for the checkers), and who disturbs it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from panic_wire import compact, topics
from panic_wire.compact_open import is_compact, open_compact, unpack_body
from panic_wire.frames import STATUS, FrameError, Header, Status
from panic_wire.keys import downlink_key, uplink_key
from panic_wire.seal import open_frame, seal
from simulator.radio.air import Deaf
from simulator.radio.modulation import Packet
from simulator.scenario.model import part_names

if TYPE_CHECKING:
    from simulator.scenario.stage import Stage

MOST_RECORDED = 2_000
MOST_KEPT = 256  # frames of a button that a status may answer
GAP_US = 50_000  # between two packets of somebody who replays
Tell = Callable[[str, bytes], None]


@dataclass
class _Known:
    """Of a button: epoch and greatest counter, activation, and what its last frames were, {counter: (epoch, act)}."""

    device: int
    key: bytes
    epochs: dict[int, int] = field(default_factory=dict)
    activation: int = 0
    frames: dict[int, tuple[int, int]] = field(default_factory=dict)


class LoraWay:
    """Compact frames and statuses are shown to the checkers as the full frames that say the same."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._chance = random.Random(f"{stage.seed}/air")
        self._known: dict[str, _Known] = {}
        self._sent: dict[str, list[Packet]] = {}
        self._uplink: Tell = lambda button, frame: None
        self._downlink: Tell = lambda button, frame: None
        self._buttons = {name for part in stage.scenario.buttons if part.lora for name in part_names(part)}
        if self._buttons:
            stage.world.air.watchers.append(self._on_air)

    def is_open(self, button: str) -> bool:
        """A base station that this button can try, and the gateway behind it, do their work."""
        world = self._stage.world
        if button not in self._buttons or not world.boards[button].on or world.air.loss > 0.3:
            return False
        gateway = world.gateway
        bases = [name for name, line in world.bases.items() if line.plugged and world.stations[name].on]
        return bool(bases) and gateway.running and not gateway.full

    def watch(self, uplink: Tell, downlink: Tell) -> None:
        """Tell these of each frame that leaves a button, and each status that leaves a base, by the button's name."""
        self._uplink, self._downlink = uplink, downlink

    def replay(self, button: str, garbage: int) -> None:
        """Somebody sends all that this button has sent again, and noise, one packet after the other."""
        sent = self._sent.get(button, [])
        if not sent:
            return
        world = self._stage.world
        like = sent[-1]
        noise = [
            Packet(self._chance.randbytes(self._chance.randrange(1, 60)), like.modulation, 14.0) for _ in range(garbage)
        ]
        name = f"stranger-{world.kernel.now_us}"
        world.air.join(name, (10.0, 10.0, 1.0), Deaf())
        at_us = world.kernel.now_us
        for packet in [*sent, *noise]:
            world.kernel.at(at_us, lambda packet=packet: world.air.send(name, packet))
            at_us += packet.airtime_us + GAP_US

    def _on_air(self, sender: str, packet: Packet, at_us: int) -> None:
        if sender in self._buttons:
            kept = self._sent.setdefault(sender, [])
            if len(kept) < MOST_RECORDED:
                kept.append(packet)
            self._up(sender, packet.payload)
        elif sender in self._stage.world.stations and compact.is_statuses(packet.payload):
            for button in self._buttons:
                self._down(button, packet.payload)

    def _of(self, button: str) -> _Known:
        if button not in self._known:
            device = topics.device_id(self._stage.device(button))
            self._known[button] = _Known(device, self._stage.key(button))
        return self._known[button]

    def _up(self, button: str, frame: bytes) -> None:
        known = self._of(button)
        key = uplink_key(known.key, known.device)
        try:
            if is_compact(frame):
                header, small = open_compact(key, frame, list(known.epochs.items())[::-1])
                body: Any = unpack_body(header.type, small, known.activation or (header.epoch & 0xFFFF) << 16)
                self._uplink(button, seal(key, header, body.pack()))
            else:
                header, whole = open_frame(key, frame)
                body = None
                self._uplink(button, frame)
        except FrameError as error:
            raise AssertionError(f"{button} sent over LoRa what its own key does not open: {error}") from error
        known.epochs.pop(header.epoch, None)
        known.epochs[header.epoch] = header.counter
        activation = getattr(body, "activation", 0) if body else _activation(header, whole)
        known.activation = max(known.activation, activation)
        known.frames[header.counter] = (header.epoch, activation)
        if len(known.frames) > MOST_KEPT:
            del known.frames[next(iter(known.frames))]

    def _down(self, button: str, packet: bytes) -> None:
        known = self._of(button)
        key = downlink_key(known.key, known.device)
        for stage, low, status in compact.statuses(packet, known.device):
            for counter, (epoch, activation) in known.frames.items():
                if counter & compact.STATUS_MASK == low and compact.is_status(
                    key, status, stage, known.device, epoch, counter
                ):
                    header = Header(STATUS, stage, known.device, epoch, counter)
                    self._downlink(button, seal(key, header, Status(activation).pack()))
                    break


def _activation(header: Header, body: bytes) -> int:
    """Of a full frame's body; 0 for one that is of no alarm."""
    return int.from_bytes(body[:4], "big") if header.type in (1, 2, 3, 4) else 0
