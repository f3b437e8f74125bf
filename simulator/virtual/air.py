"""The air between LoRa radios: the interface that a world's radios meet through, and the simplest air there is.

What an SX1262 or SX1276 does with its registers is the chip model's business; it sends and listens here. An air with
path loss, spreading factors, collisions and capture takes the place of ClearAir.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from simulator.virtual.kernel import LOOKAHEAD_US, Kernel

Place = tuple[float, float, float]  # metres east, north, up of the world's own origin


@dataclass(frozen=True)
class Packet:
    """One transmission. airtime_us: from the first symbol of the preamble to the last of the payload."""

    payload: bytes
    frequency_hz: int
    spreading_factor: int
    bandwidth_hz: int
    airtime_us: int
    power_dbm: float


@dataclass(frozen=True)
class Heard:
    """A packet as a radio received it, whole."""

    packet: Packet
    rssi_dbm: float
    snr_db: float


class Air(Protocol):
    """Radios are known by name. Times are the kernel's."""

    def join(self, name: str, place: Place, hears: Callable[[Heard], None]) -> None:
        """A radio is there; `hears` is called when a packet has reached it whole."""
        ...

    def leave(self, name: str) -> None:
        """Its power is gone: what it was sending ends, and it hears nothing more."""
        ...

    def listen(self, name: str, frequency_hz: int | None, spreading_factor: int = 0) -> None:
        """It receives there from now on; None: it does not receive."""
        ...

    def send(self, name: str, packet: Packet) -> None:
        """It sends from now on, for the packet's airtime, and does not receive meanwhile."""
        ...

    def is_busy(self, name: str, frequency_hz: int) -> bool:
        """Channel activity that this radio can detect now."""
        ...


@dataclass
class _Radio:
    hears: Callable[[Heard], None]
    tuned: tuple[int, int] | None = None
    sending_until_us: int = 0


class ClearAir:
    """Everybody hears everybody, and two at once disturb nobody: physics is left out, order and time are kept."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._radios: dict[str, _Radio] = {}
        self._under_way: list[tuple[int, str, Packet]] = []  # until when, who, what

    def join(self, name: str, place: Place, hears: Callable[[Heard], None]) -> None:
        self._radios[name] = _Radio(hears)

    def leave(self, name: str) -> None:
        self._radios.pop(name, None)
        self._under_way = [each for each in self._under_way if each[1] != name]

    def listen(self, name: str, frequency_hz: int | None, spreading_factor: int = 0) -> None:
        self._radios[name].tuned = None if frequency_hz is None else (frequency_hz, spreading_factor)

    def send(self, name: str, packet: Packet) -> None:
        end_us = self._kernel.now_us + max(packet.airtime_us, LOOKAHEAD_US)
        self._radios[name].sending_until_us = end_us
        sending = (end_us, name, packet)
        self._under_way.append(sending)
        self._kernel.at(end_us, lambda: self._arrive(sending))

    def is_busy(self, name: str, frequency_hz: int) -> bool:
        return any(who != name and packet.frequency_hz == frequency_hz for _, who, packet in self._under_way)

    def _arrive(self, sent: tuple[int, str, Packet]) -> None:
        if sent not in self._under_way:
            return  # the sender lost its power in the middle
        self._under_way.remove(sent)
        end_us, sender, packet = sent
        begun_us = end_us - packet.airtime_us
        for name, radio in list(self._radios.items()):
            if name != sender and radio.tuned == (packet.frequency_hz, packet.spreading_factor):
                if radio.sending_until_us > begun_us:
                    continue  # half-duplex: it was sending itself
                radio.hears(Heard(packet, rssi_dbm=packet.power_dbm - 60.0, snr_db=10.0))
