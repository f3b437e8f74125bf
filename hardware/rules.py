"""Refuses boards whose pins cannot do what is asked of them. Each rule is a function; tests name every one."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from hardware.chips import CHIPS, Chip
from hardware.schema import Board, Use
from sigap.problem import Problem

# (what is wrong, what to do)
Fault = tuple[str, str]


def _excused(board: Board, pin: int, rule: str) -> bool:
    return any(each.pin == pin and each.rule == rule for each in board.exception)


def pins_exist(board: Board, chip: Chip) -> Iterator[Fault]:
    for use in board.uses():
        if use.pin not in chip.pins:
            yield f"{use.place} = {use.pin} does not exist on an {chip.name}", "Choose another pin"


def pins_are_free(board: Board, chip: Chip) -> Iterator[Fault]:
    for use in board.uses():
        if use.pin in chip.flash:
            yield f"{use.place} = {use.pin} is joined to the flash chip", "Choose another pin"
        if board.board.psram_mb and use.pin in chip.psram:
            yield f"{use.place} = {use.pin} is joined to the PSRAM", "Choose another pin"
        if use.pin in chip.console and not _excused(board, use.pin, "console"):
            yield f"{use.place} = {use.pin} belongs to the console, by which the board is flashed", "Choose another pin"


def pins_are_used_once(board: Board, _: Chip) -> Iterator[Fault]:
    used: dict[int, Use] = {}
    for use in board.uses():
        if use.pin in used:
            yield f"{use.place} and {used[use.pin].place} are both pin {use.pin}", "Choose another for one of them"
        used[use.pin] = use


def straps_are_left_alone(board: Board, chip: Chip) -> Iterator[Fault]:
    for use in board.uses():
        if use.pin in chip.straps and not _excused(board, use.pin, "strap"):
            yield (
                f"{use.place} = {use.pin} is a strapping pin: its level at reset decides how the chip starts",
                "Choose another, or say in an [[exception]] with rule = 'strap' why it may be this one",
            )


def inputs_only_listen(board: Board, chip: Chip) -> Iterator[Fault]:
    for use in board.uses():
        if use.pin in chip.input_only and use.way in ("out", "both"):
            yield f"{use.place} = {use.pin} is input only", "Choose a pin with a driver"
        if use.pin in chip.input_only and use.pull:
            yield f"{use.place} = {use.pin} has no pull-up inside", 'Set pull = "none", and solder one'


def adc_works_with_wifi(board: Board, chip: Chip) -> Iterator[Fault]:
    for use in board.uses():
        if use.way != "analog" or use.pin in chip.adc1:
            continue
        if use.pin in chip.adc2:
            if not _excused(board, use.pin, "adc2"):
                yield f"{use.place} = {use.pin} is on ADC2, which cannot be read while WiFi is on", "Choose one of ADC1"
        else:
            yield f"{use.place} = {use.pin} has no ADC", "Choose one of ADC1"


def wake_pins_wake(board: Board, chip: Chip) -> Iterator[Fault]:
    sleep = board.sleep
    for pin in sleep.wake:
        if pin not in chip.wake:
            yield f"sleep.wake has {pin}, which cannot wake the chip", "Choose an RTC GPIO"
    if (sleep.light or sleep.deep != "no") and board.button.pin not in sleep.wake:
        yield f"button.pin = {board.button.pin} is not in sleep.wake", "A press must end the sleep: add it"
    if len(sleep.wake) > 1 and board.button.active_low and not chip.ext1_any_low:
        yield (
            f"sleep.wake arms {len(sleep.wake)} pins, and an {chip.name} wakes only when all are low",
            "Arm the button only",
        )


def receivers_can_rest(board: Board, _: Chip) -> Iterator[Fault]:
    """An L76K has no command for it: its STANDBY pin, low, is the way (Quectel, L76 series hardware design, 3.3.2)."""
    if board.gps and (board.gps.receiver == "l76k") != (board.gps.standby is not None):
        yield (
            f"gps.receiver = {board.gps.receiver!r} with gps.standby = {board.gps.standby}",
            "An L76K rests by its STANDBY pin: name the pin that drives it; a u-blox by a command: leave it out",
        )


def deep_sleep_sees_presses(board: Board, _: Chip) -> Iterator[Fault]:
    if board.sleep.deep == "counted" and board.sleep.counter != "ulp":
        yield (
            f'sleep.deep = "counted" with counter = {board.sleep.counter!r}: nothing counts while the chip sleeps',
            'Use counter = "ulp", or deep = "hold"',
        )


def download_button_is_not_the_only_one(board: Board, chip: Chip) -> Iterator[Fault]:
    if board.button.pin == 0 and chip.name == "esp32s3":
        yield (
            "button.pin = 0 is the BOOT button: held during a reset it enters the download mode, and no alarm goes out",
            "Choose another pin; not even an [[exception]] allows this one",
        )


def gps_uart_exists(board: Board, chip: Chip) -> Iterator[Fault]:
    if board.gps and not 0 < board.gps.uart < chip.uarts:
        yield f"gps.uart = {board.gps.uart} is not a free UART of an {chip.name}", "Choose 1 or 2"


def battery_is_measured(board: Board, _: Chip) -> Iterator[Fault]:
    if board.battery and not board.battery.divider and not board.pmu:
        yield "battery has no divider and the board has no pmu: nobody measures it", "Add [battery.divider] or [pmu]"
    if board.battery and board.battery.divider:
        divider = board.battery.divider
        at_pin_mv = board.battery.full_mv * divider.bottom_ohm // (divider.top_ohm + divider.bottom_ohm)
        if at_pin_mv > 2450:  # ESP32 datasheet: 150 to 2450 mV at 11 dB
            yield f"battery.divider leaves {at_pin_mv} mV at the pin, over 2450", "Take a larger top_ohm"


def every_state_has_its_figure(board: Board, _: Chip) -> Iterator[Fault]:
    given = [each.state for each in board.energy]
    for state in board.states():
        if state not in given:
            yield f"energy has no figure for {state}", "Add one with its source"
    for state in sorted({state for state in given if given.count(state) > 1}):
        yield f"energy has {state} twice", "Keep one"
    for state in given:
        if state not in board.states():
            yield f"energy has {state}, which this board cannot be in", "Remove it"


def exceptions_are_needed(board: Board, chip: Chip) -> Iterator[Fault]:
    for each in board.exception:
        group = {"strap": chip.straps, "adc2": chip.adc2, "console": chip.console}[each.rule]
        if each.pin not in group or each.pin not in {use.pin for use in board.uses()}:
            yield f"an [[exception]] for pin {each.pin} ({each.rule}) excuses nothing", "Remove it"


RULES: tuple[Callable[[Board, Chip], Iterator[Fault]], ...] = (
    pins_exist,
    pins_are_free,
    pins_are_used_once,
    straps_are_left_alone,
    inputs_only_listen,
    adc_works_with_wifi,
    wake_pins_wake,
    deep_sleep_sees_presses,
    download_button_is_not_the_only_one,
    gps_uart_exists,
    receivers_can_rest,
    battery_is_measured,
    every_state_has_its_figure,
    exceptions_are_needed,
)


def check(board: Board) -> None:
    """Raise a Problem with everything that is wrong."""
    chip = CHIPS[board.board.chip]
    faults = [fault for rule in RULES for fault in rule(board, chip)]
    if faults:
        what = "; ".join(what for what, _ in faults)
        todo = ". ".join(dict.fromkeys(todo for _, todo in faults))
        raise Problem(f"{board.board.name}.toml: {what}", todo)
