"""The chips' models are not our drivers' mirrors: drivers that others wrote, unmodified, talk through them.

LoRaRF 1.4 (SX126x and SX127x) and Adafruit's RFM9x, from PyPI. What they reach a Raspberry Pi's bus, pins and clock
with is pointed at the model here; not a line of theirs is changed. Each sends to our drivers and the others, and
receives from them.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from lora_lab import CHANNEL_HZ, Chip, Lab, driver

from simulator.radio.sx126x import Sx126x as Sx126xChip

FACTOR = 9
RESET, BUSY = 22, 23
FRAME = bytes(range(100, 124))
ADAFRUIT_HEADER = 4  # to, from, id, flags


class Clock:
    """`time` of a program that blocks: it passes for all."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    def sleep(self, seconds: float) -> None:
        self._lab.passes(seconds * 1000)

    def time(self) -> float:
        self._lab.passes(0.2)  # who polls lets time pass
        return self._lab.kernel.now_us / 1e6

    monotonic = time


class Modules:
    """What LoRaRF and Adafruit import, put in place for one test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, lab: Lab) -> None:
        self.lab = lab
        self.chip: Chip
        modules = {
            "spidev": SimpleNamespace(SpiDev=lambda: SimpleNamespace(open=lambda bus, cs: None, xfer2=self._xfer2)),
            "RPi": SimpleNamespace(GPIO=self._gpio()),
            "RPi.GPIO": self._gpio(),
            "micropython": SimpleNamespace(const=lambda value: value),
            "busio": SimpleNamespace(SPI=object),
            "digitalio": SimpleNamespace(DigitalInOut=object),
            "circuitpython_typing": SimpleNamespace(ReadableBuffer=bytes, WriteableBuffer=bytearray),
            "adafruit_bus_device": SimpleNamespace(),
            "adafruit_bus_device.spi_device": SimpleNamespace(SPIDevice=Device),
        }
        for name, content in modules.items():
            module = ModuleType(name)
            module.__dict__.update(vars(content))
            monkeypatch.setitem(sys.modules, name, module)
        for name in ("LoRaRF", "LoRaRF.base", "LoRaRF.SX126x", "LoRaRF.SX127x", "adafruit_rfm9x"):
            monkeypatch.delitem(sys.modules, name, raising=False)

    def load(self, name: str, chip: Chip) -> Any:
        self.chip = chip
        module: Any = importlib.import_module(name)
        module.time = Clock(self.lab)
        return module

    def _xfer2(self, sent: list[int]) -> list[int]:
        # As spidev, which keeps the low byte of each number: LoRaRF's sync word counts on it.
        return list(self.chip.transfer(bytes(each & 0xFF for each in sent)))

    def _gpio(self) -> Any:
        def output(pin: int, level: int) -> None:
            assert pin == RESET
            self.chip.reset(bool(level))

        def level(pin: int) -> int:
            assert pin == BUSY
            assert isinstance(self.chip, Sx126xChip)
            return int(self.chip.busy)

        quiet: dict[str, Callable[..., None]] = dict.fromkeys(
            ("setmode", "setwarnings", "setup", "cleanup", "remove_event_detect"), lambda *given: None
        )
        return SimpleNamespace(BCM=1, LOW=0, HIGH=1, IN=0, OUT=1, output=output, input=level, **quiet)


class Device:
    """adafruit_bus_device.spi_device.SPIDevice: the block of a `with` is one transaction."""

    def __init__(self, spi: Chip, cs: object, **options: object) -> None:
        self._chip = spi

    def __enter__(self) -> Device:
        self._sent, self._read = b"", False
        return self

    def write(self, data: bytes, end: int | None = None) -> None:
        self._sent += bytes(data[:end])

    def readinto(self, buffer: bytearray, end: int) -> None:
        self._read = True
        buffer[:end] = self._chip.transfer(self._sent + bytes(end))[len(self._sent) :]

    def __exit__(self, *problem: object) -> None:
        if not self._read:
            self._chip.transfer(self._sent)


class LoraRf:
    """One of LoRaRF's drivers, set up by its public functions as its README does."""

    def __init__(self, modules: Modules, kind: str, chip: Chip) -> None:
        module = modules.load("LoRaRF." + {"sx126x": "SX126x", "sx127x": "SX127x"}[kind], chip)
        self._lora = lora = getattr(module, {"sx126x": "SX126x", "sx127x": "SX127x"}[kind])()
        if kind == "sx126x":
            assert lora.begin(0, 0, RESET, BUSY)
            lora.setTxPower(22, lora.TX_POWER_SX1262)
        else:
            assert lora.begin(0, 0, RESET)
            lora.setTxPower(17, lora.TX_POWER_PA_BOOST)
        lora.setFrequency(CHANNEL_HZ)
        lora.setLoRaModulation(FACTOR, 125000, 5, False)
        lora.setLoRaPacket(lora.HEADER_EXPLICIT, 8, 255, True)
        lora.setSyncWord(0x12)

    def send(self, payload: bytes) -> None:
        self._lora.beginPacket()
        self._lora.put(payload)
        self._lora.endPacket()
        assert self._lora.wait(5)
        assert self._lora.status() == self._lora.STATUS_TX_DONE

    def listen(self) -> None:
        self._lora.request(self._lora.RX_CONTINUOUS)  # False: it does already

    def take(self) -> bytes | None:
        if not self._lora.wait(1):
            return None
        length = self._lora.available()
        if self._lora.status() != self._lora.STATUS_RX_DONE:
            return None
        assert -110 < self._lora.packetRssi() < -60
        return self._lora.get(length)


class Adafruit:
    def __init__(self, modules: Modules, kind: str, chip: Chip) -> None:
        module = modules.load("adafruit_rfm9x", chip)

        class Pin:
            def switch_to_output(self, value: bool) -> None:
                self.value = value

            def __setattr__(self, name: str, level: bool) -> None:
                chip.reset(level)

        self._rfm = rfm = module.RFM9x(chip, None, Pin(), CHANNEL_HZ / 1e6)
        rfm.spreading_factor = FACTOR
        rfm.tx_power = 17

    def send(self, payload: bytes) -> None:
        # Its first four bytes are a header of its own.
        to, sender, number, flags = payload[:ADAFRUIT_HEADER]
        assert self._rfm.send(payload[ADAFRUIT_HEADER:], destination=to, node=sender, identifier=number, flags=flags)

    def listen(self) -> None:
        self._rfm.listen()

    def take(self) -> bytes | None:
        packet = self._rfm.receive(timeout=1.0, with_header=True)
        if packet is not None:
            assert -110 < self._rfm.last_rssi < -60
        return None if packet is None else bytes(packet)


class Ours:
    def __init__(self, modules: Modules, kind: str, chip: Chip) -> None:
        self._lab, self._radio = modules.lab, driver(chip)
        self._lab.run(self._radio.begin())
        self._lab.run(self._radio.tune(CHANNEL_HZ, FACTOR, 17))

    def send(self, payload: bytes) -> None:
        self._lab.run(self._radio.send(payload))

    def listen(self) -> None:
        self._lab.run(self._radio.listen())

    def take(self) -> bytes | None:
        packet = self._lab.run(self._radio.take(1000))
        return packet and packet[0]


WHO: dict[str, tuple[type[LoraRf] | type[Adafruit] | type[Ours], str]] = {
    "LoRaRF SX126x": (LoraRf, "sx126x"),
    "LoRaRF SX127x": (LoraRf, "sx127x"),
    "Adafruit RFM9x": (Adafruit, "sx127x"),
    "our Sx126x": (Ours, "sx126x"),
    "our Sx127x": (Ours, "sx127x"),
}
# LoRaRF keeps its bus in the module, so two of one kind are not there at once.
PAIRS = [(one, other) for one in WHO for other in WHO if one != other and not (one[:4] == other[:4] == "our ")]


@pytest.fixture
def pair(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Lab, Any, Any]]:
    lab = Lab(links={frozenset(("left", "right")): 100.0})
    made = []
    for side, who in zip(("left", "right"), request.param, strict=True):
        maker, kind = WHO[who]
        made.append(maker(Modules(monkeypatch, lab), kind, lab.chip(kind, side)))
    yield lab, *made
    lab.loop.close()


@pytest.mark.parametrize("pair", PAIRS, indirect=True, ids=[f"{one} to {other}" for one, other in PAIRS])
def test_what_one_sends_the_other_receives(pair: tuple[Lab, Any, Any]) -> None:
    lab, left, right = pair
    for at in range(3):
        payload = FRAME + bytes([at])
        right.listen()
        lab.passes(5)
        left.send(payload)
        assert right.take() == payload


@pytest.mark.parametrize("pair", PAIRS, indirect=True, ids=[f"{one} to {other}" for one, other in PAIRS])
def test_what_is_too_weak_is_not_received(pair: tuple[Lab, Any, Any]) -> None:
    lab, left, right = pair
    lab.air.links[frozenset(("left", "right"))] = 160.0
    right.listen()
    lab.passes(5)
    left.send(FRAME)
    assert right.take() is None
