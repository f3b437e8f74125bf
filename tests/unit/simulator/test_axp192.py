"""The model of the power chip against its datasheet (X-Powers AXP192, v1.1), and what is soldered around a virtual
board."""

from __future__ import annotations

import pytest

from simulator.world.axp192 import ADDRESS, Axp192, Fault, Nak
from simulator.world.electrics import ENODEV, FRESH_MV, Electrics
from simulator.world.wiring import BOARDS

RAILS = {"dcdc3": "chip", "ldo3": "gps", "ldo2": "lora"}


def read(chip: Axp192, register: int, count: int = 1) -> list[int]:
    return list(chip.transfer(ADDRESS, bytes([register]), count))


def write(chip: Axp192, register: int, value: int) -> None:
    chip.transfer(ADDRESS, bytes([register, value]), 0)


def test_outputs_and_what_they_feed() -> None:
    chip = Axp192(RAILS, 3900, False)
    assert [chip.feeds(part) for part in ("chip", "gps", "lora")] == [True, False, False]
    write(chip, 0x12, 0b0000_1010)
    assert [chip.feeds(part) for part in ("chip", "gps", "lora")] == [True, True, False]
    write(chip, 0x12, 0b0000_1100)
    assert not chip.feeds("chip"), "DCDC3 is bit 1"
    chip.power_on()
    assert read(chip, 0x12) == [0b0000_0010]


@pytest.mark.parametrize("mv", [3000, 3301, 3700, 4200])
def test_the_battery_in_steps_of_1100_microvolts(mv: int) -> None:
    chip = Axp192(RAILS, mv, False)
    high, low = read(chip, 0x78, 2)
    assert low < 16
    assert abs((high * 16 + low) * 1.1 - mv) <= 0.55
    assert read(chip, 0x01)[0] & 0x20
    write(chip, 0x82, 0x03)
    assert read(chip, 0x78, 2) == [0, 0], "nobody measures it"
    chip.surround(battery_mv=0)
    assert not read(chip, 0x01)[0] & 0x20


def test_interrupts_stay_until_a_one_clears_them() -> None:
    chip = Axp192(RAILS, 3900, False)
    assert read(chip, 0x45) == [0x80], "a battery is there"
    assert chip.irq
    write(chip, 0x45, 0x7F)
    assert chip.irq
    write(chip, 0x45, 0x80)
    assert not chip.irq
    chip.surround(usb=True)
    assert read(chip, 0x44) == [0x08]
    assert read(chip, 0x00)[0] & 0x30 == 0x30
    assert chip.irq
    write(chip, 0x40, 0x00)
    assert not chip.irq, "pending, but not on"
    chip.surround(usb=False)
    assert read(chip, 0x44) == [0x0C]


def test_charging() -> None:
    chip = Axp192(RAILS, 3900, True)
    write(chip, 0x33, 0xC4)
    assert chip.charge_ma == 450
    assert read(chip, 0x01)[0] & 0x40
    chip.surround(usb=False)
    assert chip.charge_ma == 0


def test_what_the_chip_does_not_have_fails_loudly() -> None:
    chip = Axp192(RAILS, 3900, False)
    with pytest.raises(Nak):
        chip.transfer(0x35, b"\x03", 1)
    with pytest.raises(Fault, match="no REG C0H"):
        read(chip, 0xC0)
    with pytest.raises(Fault, match="no REG 29H"):
        write(chip, 0x29, 1)
    with pytest.raises(Fault, match="REG 03H can only be read"):
        write(chip, 0x03, 1)
    with pytest.raises(Fault, match="2 bytes written at once to REG 12H"):
        chip.transfer(ADDRESS, b"\x12\x02\x03", 0)


def test_what_is_around_a_board() -> None:
    tbeam, devkit = Electrics("tbeam"), Electrics("devkit")
    assert tbeam.battery_mv == FRESH_MV
    assert devkit.battery_mv == 0
    assert devkit.setup() == {}
    assert tbeam.setup() == {"i2c": [[21, 22]]}
    assert tbeam.levels() == {35: 0}
    assert tbeam.transfer({"i2c": [21, 22], "address": 0x34, "write": "03", "read": 1}) == {"i2c": {"data": "03"}}
    assert tbeam.transfer({"i2c": [22, 21], "address": 0x34, "write": "03", "read": 1}) == {"i2c": {"errno": ENODEV}}
    assert devkit.transfer({"i2c": [21, 22], "address": 0x34, "write": "03", "read": 1}) == {"i2c": {"errno": ENODEV}}
    assert devkit.feeds("gps")
    assert not tbeam.feeds("gps")


def test_a_divider(monkeypatch: pytest.MonkeyPatch) -> None:
    battery = {"divider": {"pin": 35, "top_ohm": 300_000, "bottom_ohm": 100_000}}
    monkeypatch.setitem(BOARDS, "made", {**BOARDS["devkit"], "battery": battery})
    made = Electrics("made", 4000)
    assert made.setup() == {"adc": {"35": 1_000_000}}
    assert made.surround(battery_mv=3600) == {"adc": 35, "uv": 900_000}
