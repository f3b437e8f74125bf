"""Boards as data: the generated files are fresh, and a board that cannot work is refused with its reason."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hardware import compact, generate
from hardware.rules import RULES
from hardware.schema import Board
from sigap.problem import Problem

ENERGY = "".join(
    f'[[energy]]\nstate = "{state}"\nma = 1\nbasis = "estimate"\nsource = "a test"\n'
    for state in ("light_sleep", "cpu", "wifi_connect", "wifi_idle", "wifi_tx", "led")
)
GOOD = f"""
wire = []
part = []
reference = []
[board]
name = "b"
title = "A board"
chip = "esp32"
flash_mb = 4
image = "ESP32_GENERIC"
tried = "never"
[button]
pin = 27
pull = "up"
active_low = true
[led]
pin = 26
active_high = true
[sleep]
light = true
deep = "no"
counter = "pcnt"
wake = [27]
{ENERGY}
"""
GPS = '[gps]\nuart = 1\nrx = 33\ntx = 32\nbaud = 9600\nreceiver = "u-blox"\n' + "".join(
    f'[[energy]]\nstate = "{state}"\nma = 40\nbasis = "datasheet"\nsource = "a test"\n'
    for state in ("gps_acquire", "gps_track", "gps_rest")
)
BATTERY = '[battery]\ncell = "18650"\nusable_mah = 2900\nfull_mv = 4200\nlow_mv = 3500\nempty_mv = 3000\n'
DIVIDER = BATTERY + "[battery.divider]\npin = 35\ntop_ohm = 100000\nbottom_ohm = 100000\n"
EXCUSED = '[[exception]]\npin = 12\nrule = "strap"\nwhy = "the maker did"\n'


def read(folder: Path, text: str) -> Board:
    path = folder / "b.toml"
    path.write_text(text)
    return generate.read_board(path)


def test_generated_files_are_fresh() -> None:
    assert generate.main(["--check"]) == 0


def test_a_good_board(tmp_path: Path) -> None:
    board = read(tmp_path, GOOD + GPS + DIVIDER)
    assert compact.firmware_parts(board) == {
        "button": (27, True, True),
        "lamp": (26, None, True),
        "gps": (1, 33, 32, 9600),
        "battery": (35, 100000, 100000),
        "sleep": (27, True, "no", "pcnt"),
    }
    assert [use.pin for use in board.uses()] == [27, 26, 33, 32, 35]


def test_an_l76k_rests_by_a_pin(tmp_path: Path) -> None:
    board = read(tmp_path, GOOD + GPS.replace('"u-blox"', '"l76k"\nstandby = 4'))
    assert compact.firmware_parts(board)["gps"] == (1, 33, 32, 9600, 4)
    assert 4 in [use.pin for use in board.uses()]


def test_the_shipped_boards() -> None:
    boards = generate.read_boards()
    assert set(boards) == {"devkit", "tbeam"}
    parts = compact.firmware_parts(boards["tbeam"])
    # DCDC1, DCDC3, LDO3 are on, LoRa's LDO2 is not; LDO3 is the GPS's; both LDOs at 3.3 V; 450 mA to 4.2 V.
    assert parts["pmu"] == (21, 22, 0b0000_1011, 0b0000_1000, 0b0000_0100, 0xFF, 0xC4)
    assert parts["lora"] == (5, 19, 27, 18, 23, 26, 33, 32, 2, True)
    assert all(energy.source for board in boards.values() for energy in board.energy)


# name of the rule -> [(what is added to GOOD, or S3 for its chip; old text; new text; what the refusal says)]
REFUSED: dict[str, list[tuple[str, str, str, str]]] = {
    "pins_exist": [("", "pin = 26", "pin = 24", "led.pin = 24 does not exist on an esp32")],
    "pins_are_free": [
        ("", "pin = 26", "pin = 6", "joined to the flash"),
        ("", "pin = 26", "pin = 1", "belongs to the console"),
        ("S3", "pin = 26", "pin = 20", "belongs to the console"),
        ("S3", "pin = 26", "pin = 30", "joined to the flash"),
    ],
    "pins_are_used_once": [("", "pin = 26", "pin = 27", "led.pin and button.pin are both pin 27")],
    "straps_are_left_alone": [
        *(("", "pin = 26", f"pin = {pin}", f"led.pin = {pin} is a strapping pin") for pin in (0, 2, 5, 12, 15)),
        *(("S3", "pin = 26", f"pin = {pin}", f"led.pin = {pin} is a strapping pin") for pin in (3, 45, 46)),
    ],
    "inputs_only_listen": [
        ("", "pin = 26", "pin = 34", "led.pin = 34 is input only"),
        (GPS, "tx = 32", "tx = 39", "gps.tx = 39 is input only"),
        ("", "pin = 27", "pin = 36", "button.pin = 36 has no pull-up inside"),
    ],
    "adc_works_with_wifi": [
        (DIVIDER, "pin = 35", "pin = 25", "battery.divider.pin = 25 is on ADC2"),
        (DIVIDER, "pin = 35", "pin = 18", "has no ADC"),
    ],
    "wake_pins_wake": [
        ("", "wake = [27]", "wake = [27, 19]", "19, which cannot wake"),
        ("", "wake = [27]", "wake = [33]", "is not in sleep.wake"),
        ("", "wake = [27]", "wake = [27, 33]", "an esp32 wakes only when all are low"),
        ("S3", "wake = [27]", "wake = [21]", "27, which cannot wake|is not in sleep.wake"),
    ],
    "deep_sleep_sees_presses": [("", 'deep = "no"', 'deep = "counted"', "nothing counts while the chip sleeps")],
    "download_button_is_not_the_only_one": [("S3", "pin = 27", "pin = 0", "enters the download mode")],
    "receivers_can_rest": [
        (GPS, 'receiver = "u-blox"', 'receiver = "l76k"', "gps.receiver = 'l76k' with gps.standby = None"),
        (
            GPS,
            'receiver = "u-blox"',
            'receiver = "u-blox"\nstandby = 4',
            "gps.receiver = 'u-blox' with gps.standby = 4",
        ),
    ],
    "gps_uart_exists": [(GPS, "uart = 1", "uart = 3", "gps.uart")],
    "battery_is_measured": [
        (BATTERY, "", "", "nobody measures it"),
        (DIVIDER, "top_ohm = 100000", "top_ohm = 1000", "leaves 4158 mV at the pin"),
    ],
    "every_state_has_its_figure": [
        ("", 'state = "cpu"', 'state = "wifi_tx"', "no figure for cpu.*wifi_tx twice"),
        ("", 'state = "cpu"', 'state = "lora_rx"', "lora_rx, which this board cannot be in"),
    ],
    "exceptions_are_needed": [(EXCUSED, "", "", "excuses nothing")],
}


def test_every_rule_has_a_test() -> None:
    assert set(REFUSED) == {rule.__name__ for rule in RULES}


@pytest.mark.parametrize(("more", "old", "new", "reason"), [case for cases in REFUSED.values() for case in cases])
def test_pins_that_cannot_do_what_is_asked(tmp_path: Path, more: str, old: str, new: str, reason: str) -> None:
    text = GOOD.replace('chip = "esp32"', 'chip = "esp32s3"') if more == "S3" else GOOD + more
    assert old in text
    with pytest.raises(Problem) as caught:
        read(tmp_path, text.replace(old, new, 1))
    assert re.search(reason, str(caught.value)), caught.value
    assert str(caught.value).startswith("b.toml: ")
    assert caught.value.todo


def test_psram_takes_its_pins(tmp_path: Path) -> None:
    text = GOOD.replace("pin = 26", "pin = 16")
    read(tmp_path, text)
    with pytest.raises(Problem, match=r"led\.pin = 16 is joined to the PSRAM"):
        read(tmp_path, text.replace("flash_mb = 4", "flash_mb = 4\npsram_mb = 8"))


def test_an_exception_with_its_reason(tmp_path: Path) -> None:
    assert read(tmp_path, GOOD.replace("pin = 26", "pin = 12") + EXCUSED).led.pin == 12


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('name = "b"', 'name = "c"', "says that its board is 'c'"),
        ("pin = 26", 'pin = "26"', "led.pin: Input should be a valid integer"),
        ("pin = 26", "pin = true", "led.pin: "),
        ("active_high = true", "", "led.active_high: Field required"),
        ("active_high = true", "active_high = true\ncolour = 1", "led.colour: Extra inputs"),
        ("[led]", "[lamp]", "led: Field required; lamp: Extra inputs"),
        ("[led]", "[led", "not TOML"),
        ("ma = 1\n", "ma = -1\n", "energy.1.ma: "),
        ('source = "a test"', 'source = ""', "energy.1.source: "),
        ("[button]", BATTERY.replace("3500", "2000") + "[button]", "battery: .*must rise in this order"),
    ],
)
def test_errors_name_file_and_field(tmp_path: Path, old: str, new: str, reason: str) -> None:
    with pytest.raises(Problem, match=r"^b\.toml") as caught:
        read(tmp_path, GOOD.replace(old, new, 1))
    assert re.search(reason, str(caught.value)), caught.value


def test_wrong_use() -> None:
    assert generate.main(["--what"]) == 2
