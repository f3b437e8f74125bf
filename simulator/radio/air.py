"""The shared air: who hears whom, and what becomes of two who speak at once.

- Path loss by distance: the log-distance model with the figures that Bor, Roedig, Voigt and Alonso measured in a
  built-up place ("Do LoRa Low-Power Wide-Area Networks Scale?", MSWiM 2016): 127.41 dB at 40 m, exponent 2.08.
- Two of one spreading factor: the stronger is received when it is CAPTURE_DB above all the others together.
- Two of different ones disturb each other little: REJECTION_DB, as measured by Croce et al. ("Impact of LoRa
  Imperfect Orthogonality", IEEE Communications Letters 22(4), 2018, table II).
- A receiver locks to a packet when it hears the last LOCK_SYMBOLS of its preamble, and is deaf to others until that
  packet ends: a stronger one that begins later destroys it and is lost itself.

Radios are half-duplex: who sends does not listen; the chip models see to it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from simulator.radio.modulation import SNR_LIMIT_DB, Modulation, Packet

Place = tuple[float, float, float]  # metres east, north, up of the world's own origin
CAPTURE_DB = 6.0
LOCK_SYMBOLS = 5
MAX_SNR_DB = 12.0  # what chips report of a strong signal
# Row: the wanted's SF7 to SF12; column: the disturber's. So much below the wanted may be, and is still received.
REJECTION_DB = (
    (CAPTURE_DB, -8, -9, -9, -9, -9),
    (-11, CAPTURE_DB, -11, -12, -13, -13),
    (-15, -13, CAPTURE_DB, -13, -14, -15),
    (-19, -18, -17, CAPTURE_DB, -17, -18),
    (-22, -22, -21, -20, CAPTURE_DB, -20),
    (-25, -25, -25, -24, -23, CAPTURE_DB),
)


class Clock(Protocol):
    """Time in microseconds: simulator.virtual.kernel.Kernel is one, simulator.world.wallclock.WallClock another."""

    @property
    def now_us(self) -> int: ...

    def after(self, delay_us: int, action: Callable[[], None]) -> None: ...


class Receiver(Protocol):
    """What a radio is told while it listens, in this order; after `failed` nothing more comes of that packet."""

    def preamble(self) -> None: ...
    def header(self, packet: Packet) -> None: ...
    def failed(self) -> None:
        """The header could not be read."""

    def received(self, heard: Heard) -> None: ...
    def loss_db(self) -> float:
        """What its own set-up costs a packet that arrives, beyond the path."""
        ...


@dataclass(frozen=True)
class Heard:
    """A packet's end. intact: nothing disturbed its payload; without it `payload` is not what was sent."""

    packet: Packet
    payload: bytes
    intact: bool
    rssi_dbm: float
    snr_db: float


class Deaf:
    """A receiver that does nothing with what it is told: a radio that only sends."""

    def preamble(self) -> None: ...
    def header(self, packet: Packet) -> None: ...
    def failed(self) -> None: ...
    def received(self, heard: Heard) -> None: ...
    def loss_db(self) -> float:
        return 0.0


@dataclass(eq=False)
class _Emission:
    sender: str
    packet: Packet
    begin_us: int
    end_us: int
    place: Place
    jams: bool = False
    locked: list[str] = field(default_factory=list)  # radios that may be receiving it


@dataclass(eq=False)
class _Radio:
    place: Place
    receiver: Receiver
    tuned: Modulation | None = None
    tuned_us: int = 0
    locked: _Emission | None = None
    emission: _Emission | None = None


@dataclass
class Air:
    """loss: chance that a packet fades away between two radios, drawn for each pair. links: dB of path loss between
    two names, either way round, in place of the distance's. watchers: called with (sender, Packet, begin_us).
    """

    clock: Clock
    seed: int = 0
    loss: float = 0.0
    exponent: float = 2.08
    links: dict[frozenset[str], float] = field(default_factory=dict)
    watchers: list[Callable[[str, Packet, int], None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._radios: dict[str, _Radio] = {}
        self._emissions: list[_Emission] = []
        self._distance_db: dict[tuple[str, str], float] = {}  # between two radios, which do not move
        # Who listens, by what must be the same: with hundreds of radios most need not be asked.
        self._ears: dict[tuple[int, int, bool], dict[str, _Radio]] = {}

    def join(self, name: str, place: Place, receiver: Receiver) -> None:
        """A radio is there."""
        if name in self._radios:
            raise ValueError(f"the radio {name} is there already")
        self._radios[name] = _Radio(place, receiver)

    def leave(self, name: str) -> None:
        """Its power is gone: what it was sending ends, and it hears nothing more."""
        self.silence(name)
        if name in self._radios:
            self.listen(name, None)
            del self._radios[name]
            self._distance_db = {pair: db for pair, db in self._distance_db.items() if name not in pair}

    def listen(self, name: str, modulation: Modulation | None) -> None:
        """It receives there from now on; None: it does not receive. What it was receiving is lost."""
        radio = self._radios[name]
        if radio.tuned:
            del self._ears[_kind(radio.tuned)][name]
        if modulation:
            self._ears.setdefault(_kind(modulation), {})[name] = radio
        radio.tuned, radio.tuned_us, radio.locked = modulation, self.clock.now_us, None

    def send(self, name: str, packet: Packet) -> None:
        """It sends from now on, for the packet's airtime, and does not receive meanwhile."""
        radio = self._radios[name]
        if radio.emission:
            raise ValueError(f"the radio {name} is sending already")
        self.listen(name, None)
        now = self.clock.now_us
        emission = radio.emission = _Emission(name, packet, now, now + packet.airtime_us, radio.place)
        self._emissions.append(emission)
        for watcher in self.watchers:
            watcher(name, packet, now)
        self.clock.after(packet.preamble_us, lambda: self._preamble(emission))
        self.clock.after(packet.airtime_us, lambda: self._end(emission))

    def silence(self, name: str) -> None:
        """It stops sending in the middle, if it does: who receives it gets a packet that is not intact."""
        radio = self._radios.get(name)
        if radio and radio.emission:
            radio.emission.end_us = self.clock.now_us
            radio.emission = None

    def jam(self, place: Place, modulation: Modulation, power_dbm: float, for_us: int) -> None:
        """Noise as wide as the modulation, for so long."""
        now = self.clock.now_us
        packet = Packet(b"", modulation, power_dbm)
        jamming = _Emission("jammer", packet, now, now + for_us, place, jams=True)
        self._emissions.append(jamming)
        self.clock.after(for_us, self._forget)

    def is_active(self, name: str, modulation: Modulation) -> bool:
        """Channel activity that this radio can detect now: LoRa of the same kind, strong enough to be received."""
        return any(
            not each.jams
            and each.sender != name
            and each.packet.modulation.meets(modulation)
            and self._snr_db(each, name, modulation) >= SNR_LIMIT_DB[modulation.spreading_factor]
            for each in self._now()
        )

    def rssi_dbm(self, name: str, modulation: Modulation) -> float:
        """All the power in this band now, noise included."""
        signals = [each for each in self._now() if each.sender != name and each.packet.modulation.overlaps(modulation)]
        return _sum_dbm([modulation.noise_dbm, *(self._power_dbm(each, name) for each in signals)])

    # From here on: what becomes of one emission

    def _preamble(self, emission: _Emission) -> None:
        packet = emission.packet
        heard_from_us = self.clock.now_us - round(LOCK_SYMBOLS * packet.modulation.symbol_us)
        for name, radio in list(self._ears.get(_kind(packet.modulation), {}).items()):
            if (
                radio.tuned is None
                or radio.locked is not None
                or radio.tuned_us > heard_from_us
                or not radio.tuned.meets(packet.modulation)
                or not self._is_clear(emission, name, heard_from_us)
                or (self.loss and self._random.random() < self.loss)
            ):
                continue
            radio.receiver.preamble()
            if radio.tuned.sync_word == packet.modulation.sync_word:
                radio.locked = emission
                emission.locked.append(name)
        self.clock.after(packet.header_us - packet.preamble_us, lambda: self._header(emission))

    def _header(self, emission: _Emission) -> None:
        begin_us = emission.begin_us + emission.packet.preamble_us
        for name, radio in self._receiving(emission):
            if self._is_clear(emission, name, begin_us):
                radio.receiver.header(emission.packet)
            else:
                radio.locked = None
                radio.receiver.failed()

    def _end(self, emission: _Emission) -> None:
        packet = emission.packet
        sender = self._radios.get(emission.sender)
        if sender and sender.emission is emission:
            sender.emission = None
        begin_us = emission.begin_us + packet.header_us
        for name, radio in self._receiving(emission):
            assert radio.tuned
            radio.locked = None
            intact = self._is_clear(emission, name, begin_us)
            payload = packet.payload if intact else self._spoilt(packet.payload)
            snr_db = min(self._snr_db(emission, name, radio.tuned), MAX_SNR_DB)
            radio.receiver.received(Heard(packet, payload, intact, self._power_dbm(emission, name), snr_db))
        self._forget()

    def _receiving(self, emission: _Emission) -> list[tuple[str, _Radio]]:
        radios = ((name, self._radios.get(name)) for name in emission.locked)
        return [(name, radio) for name, radio in radios if radio and radio.locked is emission]

    def _forget(self) -> None:
        """Those that are over are kept while a packet lasts that they may have disturbed."""
        now = self.clock.now_us
        oldest_us = min((each.begin_us for each in self._emissions if each.end_us > now), default=now)
        self._emissions = [each for each in self._emissions if each.end_us > oldest_us]

    def _is_clear(self, wanted: _Emission, name: str, begin_us: int) -> bool:
        """From begin_us to now this radio could read it."""
        now = self.clock.now_us
        if wanted.end_us < now:
            return False  # its sender lost its power
        modulation = wanted.packet.modulation
        factor = modulation.spreading_factor
        power_dbm = self._power_dbm(wanted, name)
        noise = [modulation.noise_dbm]
        same: dict[int, list[float]] = {}
        for each in self._emissions:
            if each is wanted or each.sender == name or each.end_us <= begin_us or each.begin_us >= now:
                continue
            if not each.packet.modulation.overlaps(modulation):
                continue
            if each.jams:
                noise.append(self._power_dbm(each, name))
            else:
                same.setdefault(each.packet.modulation.spreading_factor, []).append(self._power_dbm(each, name))
        if power_dbm - _sum_dbm(noise) < SNR_LIMIT_DB[factor]:
            return False
        return all(
            power_dbm - _sum_dbm(powers) >= REJECTION_DB[factor - 7][other - 7] for other, powers in same.items()
        )

    def _spoilt(self, payload: bytes) -> bytes:
        """The same length with some bits turned over; an empty one stays empty."""
        spoilt = bytearray(payload)
        for bit in self._random.sample(range(8 * len(spoilt)), min(8 * len(spoilt), 4)):
            spoilt[bit // 8] ^= 1 << bit % 8
        return bytes(spoilt)

    def _now(self) -> list[_Emission]:
        return [each for each in self._emissions if each.begin_us <= self.clock.now_us < each.end_us]

    def _snr_db(self, emission: _Emission, name: str, modulation: Modulation) -> float:
        return self._power_dbm(emission, name) - modulation.noise_dbm

    def _power_dbm(self, emission: _Emission, name: str) -> float:
        """Behind the antenna of the radio."""
        lost_db = self.path_loss_db(emission.sender, emission.place, name) + self._radios[name].receiver.loss_db()
        return emission.packet.power_dbm - lost_db

    def path_loss_db(self, sender: str, place: Place, name: str) -> float:
        """From a place to a radio."""
        given = self.links.get(frozenset((sender, name)))
        if given is not None:
            return given
        known = self._distance_db.get((sender, name))
        if known is None:
            metres = max(math.dist(place, self._radios[name].place), 1.0)
            known = 127.41 + 10 * self.exponent * math.log10(metres / 40.0)
            if sender in self._radios:
                self._distance_db[sender, name] = known
        return known


def _kind(modulation: Modulation) -> tuple[int, int, bool]:
    return modulation.spreading_factor, modulation.bandwidth_hz, modulation.iq_inverted


def _sum_dbm(powers: list[float]) -> float:
    return 10 * math.log10(sum(10 ** (power / 10) for power in powers))
