"""What chip and simulator need of a board, out of everything that its file says."""

from __future__ import annotations

from typing import Any

from hardware.schema import Board, Lora, Pmu

# AXP192 datasheet v1.1. REG 12H, power output control: a bit for each output.
OUTPUT_BITS = {"dcdc1": 0, "dcdc3": 1, "ldo2": 2, "ldo3": 3, "dcdc2": 4, "exten": 6}
# REG 33H, charge control 1: bits 3-0 are the current's place in this list.
CHARGE_MA = (100, 190, 280, 360, 450, 550, 630, 700, 780)
CHARGE_ON_4V2 = 0xC0  # REG 33H: bit 7 on, bits 6-5 = 10b target 4.2 V, bit 4 = 0 ends at a tenth of the current


def _bits(pmu: Pmu, *feeds: str) -> int:
    """The bits of REG 12H of what feeds these."""
    return sum(1 << OUTPUT_BITS[rail.output] for rail in pmu.rails if rail.feeds in feeds)


def _ldo_code(pmu: Pmu, output: str) -> int:
    """REG 28H: 1.8 V and 100 mV a step."""
    return next((((rail.mv or 3300) - 1800) // 100 for rail in pmu.rails if rail.output == output), 15)


def pmu_parts(pmu: Pmu) -> tuple[int, ...]:
    """(SDA, SCL, REG 12H at the start, its bits of the GPS and of LoRa, REG 28H: LDO2 in the upper half, LDO3 in the
    lower, REG 33H).

    LoRa starts without supply: whoever uses it asks for it. What feeds the display stays on, since the bus has its
    pull-ups there.
    """
    outputs = _bits(pmu, "chip", "gps", "display")
    voltages = _ldo_code(pmu, "ldo2") << 4 | _ldo_code(pmu, "ldo3")
    bits = _bits(pmu, "gps"), _bits(pmu, "lora")
    return pmu.sda, pmu.scl, outputs, *bits, voltages, CHARGE_ON_4V2 | CHARGE_MA.index(pmu.charge_ma)


# SX1261/2 data sheet, table 13-35: SetDIO3AsTcxoCtrl
TCXO_MV = (1600, 1700, 1800, 2200, 2400, 2700, 3000, 3300)


def lora_parts(lora: Lora) -> tuple[int | bool | None, ...]:
    """As NAMES says; None for a pin or an oscillator that is not there."""
    tcxo = None if lora.tcxo_mv is None else TCXO_MV.index(lora.tcxo_mv)
    bus = lora.sck, lora.miso, lora.mosi, lora.cs, lora.rst
    return *bus, lora.dio0, lora.dio1, lora.busy, tcxo, lora.dio2_switch


# Part -> the names of its values, in order.
NAMES = {
    "button": "pin, pull-up inside, active low",
    "lamp": "LED, buzzer or None, active high",
    "gps": "UART, RX, TX, baud, standby where there is one",
    "lora": "SCK, MISO, MOSI, CS, RST, DIO0, DIO1, BUSY, TCXO, DIO2 switch",
    "pmu": "SDA, SCL, REG 12H, its bits of GPS and LoRa, REG 28H, REG 33H",
    "battery": "pin, Ohm to the battery, Ohm to ground",
    "sleep": "wake pin, light, deep, counter",
}


def firmware_parts(board: Board) -> dict[str, tuple[Any, ...]]:
    """What hal/board.py reads: a tuple for each part that is there."""
    parts: dict[str, tuple[Any, ...]] = {
        "button": (board.button.pin, board.button.pull == "up", board.button.active_low),
        "lamp": (board.led.pin, board.buzzer.pin if board.buzzer else None, board.led.active_high),
    }
    if board.gps:
        gps = board.gps
        parts["gps"] = (gps.uart, gps.rx, gps.tx, gps.baud, *(() if gps.standby is None else (gps.standby,)))
    if board.lora:
        parts["lora"] = lora_parts(board.lora)
    if board.pmu:
        parts["pmu"] = pmu_parts(board.pmu)
    if board.battery and board.battery.divider:
        divider = board.battery.divider
        parts["battery"] = (divider.pin, divider.top_ohm, divider.bottom_ohm)
    sleep = board.sleep
    parts["sleep"] = (board.button.pin, sleep.light, sleep.deep, sleep.counter)
    return parts


def module(board: Board) -> str:
    """The text of firmware/hal/boards/<name>.py."""
    lines = [f'"""{board.board.title}. Made by `make generate` from hardware/boards/{board.board.name}.toml."""', ""]
    lines.append("PARTS = {")
    for name, values in firmware_parts(board).items():
        inner = ", ".join(f'"{value}"' if isinstance(value, str) else repr(value) for value in values)
        lines.append(f'    "{name}": ({inner}),  # {NAMES[name]}')
    return "\n".join([*lines, "}"]) + "\n"


def for_simulator(board: Board) -> dict[str, Any]:
    """How the world is to wire a virtual board like this, and what it takes of its battery."""
    wired: dict[str, Any] = {
        "chip": board.board.chip,
        "button": {"pin": board.button.pin, "active_low": board.button.active_low},
        "led": {"pin": board.led.pin, "active_high": board.led.active_high},
        "buzzer": board.buzzer and board.buzzer.pin,
        "gps": board.gps and {"uart": board.gps.uart, "baud": board.gps.baud},
        "lora": board.lora and board.lora.model_dump(),
        "pmu": None,
        "battery": None,
        "sleep": board.sleep.model_dump(),
        "energy_ma": {each.state: each.ma for each in board.energy},
    }
    if board.pmu:
        pmu = board.pmu
        rails = {rail.output: rail.feeds for rail in pmu.rails}
        wired["pmu"] = {"kind": pmu.kind, "address": pmu.address, "sda": pmu.sda, "scl": pmu.scl, "irq": pmu.irq}
        wired["pmu"]["rails"] = rails
    if board.battery:
        wired["battery"] = board.battery.model_dump()
    return wired
