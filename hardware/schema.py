"""What a file in boards/ says: one schema, and errors that name file and field.

Units come last in a name. mA figures are at the battery (or at 5 V where there is none), means of a second or longer.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sigap.problem import Problem

Pin = Annotated[int, Field(ge=0, le=48, strict=True)]
Text = Annotated[str, Field(min_length=1, strict=True)]
State = Literal[
    "deep_sleep", "light_sleep", "cpu", "wifi_connect", "wifi_idle", "wifi_tx", "gps_acquire", "gps_track",
    "gps_rest", "led", "buzzer", "lora_rx", "lora_tx",
]  # fmt: skip
BASE_STATES = ("deep_sleep", "light_sleep", "cpu")  # the whole board; the others are what comes on top of one of these


@dataclass(frozen=True)
class Use:
    """A pin and what is asked of it. place: "gps.rx"; way: in, out, both, analog; pull: one inside the chip is
    wanted."""

    place: str
    pin: int
    way: Literal["in", "out", "both", "analog"]
    pull: bool = False


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class About(_Table):
    """image: name of the stock MicroPython for this board (hardware/flashing/images.toml)."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
    title: Text
    chip: Literal["esp32", "esp32s3"]
    flash_mb: Annotated[int, Field(ge=4)]
    psram_mb: Annotated[int, Field(ge=0)] = 0
    image: Text
    tried: Text


class Button(_Table):
    pin: Pin
    pull: Literal["up", "none"]
    active_low: bool


class Led(_Table):
    pin: Pin
    active_high: bool


class Buzzer(_Table):
    pin: Pin


class Gps(_Table):
    """rx, tx: the ESP32's pins. receiver: how it is sent to rest: a u-blox by command, an L76K by the pin `standby`."""

    uart: Annotated[int, Field(ge=1, le=2)]
    rx: Pin
    tx: Pin
    baud: Literal[4800, 9600, 19200, 38400, 57600, 115200]
    receiver: Literal["u-blox", "l76k"]
    standby: Pin | None = None


class Lora(_Table):
    """dio1 and busy: of an SX1262 as well; dio0: of an SX1276. tcxo_mv: what an SX1262's oscillator gets from DIO3;
    dio2_switch: its DIO2 turns the antenna."""

    chips: list[Literal["sx1262", "sx1276"]]
    sck: Pin
    miso: Pin
    mosi: Pin
    cs: Pin
    rst: Pin
    dio0: Pin | None = None
    dio1: Pin
    busy: Pin | None = None
    tcxo_mv: Literal[1600, 1700, 1800, 2200, 2400, 2700, 3000, 3300] | None = None
    dio2_switch: bool = False


class Rail(_Table):
    """output: of the PMU. feeds: what hangs on it; "chip" is never switched off."""

    output: Literal["dcdc1", "dcdc2", "dcdc3", "ldo2", "ldo3", "exten"]
    feeds: Literal["chip", "gps", "lora", "display", "nothing"]
    mv: Annotated[int, Field(ge=700, le=3500)] | None = None


class Pmu(_Table):
    """charge_ma: one of the chip's steps. irq: low while an interrupt is pending."""

    kind: Literal["axp192"]
    address: Annotated[int, Field(ge=0x08, le=0x77)]
    sda: Pin
    scl: Pin
    irq: Pin
    charge_ma: Literal[100, 190, 280, 360, 450, 550, 630, 700, 780]
    rails: list[Rail]

    @model_validator(mode="after")
    def _rails_once(self) -> Pmu:
        outputs = [rail.output for rail in self.rails]
        if len(set(outputs)) < len(outputs):
            raise ValueError("an output is listed twice")
        if [rail.output for rail in self.rails if rail.feeds == "chip"] != ["dcdc3"]:
            raise ValueError("exactly dcdc3 feeds the chip on every board with an AXP192 that is known here")
        return self


class Divider(_Table):
    """The battery's voltage comes to `pin` through top_ohm, with bottom_ohm to ground."""

    pin: Pin
    top_ohm: Annotated[int, Field(gt=0)]
    bottom_ohm: Annotated[int, Field(gt=0)]


class Battery(_Table):
    """usable_mah: of a fresh cell, down to empty_mv. By a divider, or by the PMU where there is none."""

    cell: Text
    usable_mah: Annotated[int, Field(gt=0)]
    full_mv: Annotated[int, Field(gt=0)]
    low_mv: Annotated[int, Field(gt=0)]
    empty_mv: Annotated[int, Field(gt=0)]
    divider: Divider | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Battery:
        if not self.empty_mv < self.low_mv < self.full_mv:
            raise ValueError("empty_mv, low_mv and full_mv must rise in this order")
        return self


class Sleep(_Table):
    """light: light sleep, in which every press is seen. deep: "no"; "hold": a hold of 2 s is the same SOS there, and
    the label says so; "counted": hardware counts presses while the chip sleeps. counter: what counts them: "pcnt"
    (awake only), "ulp" (asleep too). wake: pins that end it."""

    light: bool
    deep: Literal["no", "hold", "counted"]
    counter: Literal["none", "pcnt", "ulp"]
    wake: list[Pin]


class Energy(_Table):
    """ma: in a base state of the whole board; in the others what they add to it."""

    state: State
    ma: Annotated[float, Field(ge=0, strict=False)]
    basis: Literal["datasheet", "measured", "estimate"]
    source: Text


class Wire(_Table):
    from_: Text = Field(alias="from")
    to: Text
    note: str = ""


class Part(_Table):
    """Of the bill of materials."""

    name: Text
    count: Annotated[int, Field(ge=1)]
    note: str = ""


class Reference(_Table):
    title: Text


class Exception_(_Table):
    """A rule that this board breaks and may: why. The board's maker has wired it so."""

    pin: Pin
    rule: Literal["strap", "adc2", "console"]
    why: Text


class Board(_Table):
    """One file. Names of tables as in the file."""

    board: About
    button: Button
    led: Led
    buzzer: Buzzer | None = None
    gps: Gps | None = None
    lora: Lora | None = None
    pmu: Pmu | None = None
    battery: Battery | None = None
    sleep: Sleep
    energy: list[Energy]
    wire: list[Wire]
    part: list[Part]
    reference: list[Reference]
    exception: list[Exception_] = []

    def uses(self) -> Iterator[Use]:
        """Every pin that the board needs, in the order of the file."""
        yield Use("button.pin", self.button.pin, "in", self.button.pull == "up")
        yield Use("led.pin", self.led.pin, "out")
        if self.buzzer:
            yield Use("buzzer.pin", self.buzzer.pin, "out")
        if self.gps:
            yield Use("gps.rx", self.gps.rx, "in")
            yield Use("gps.tx", self.gps.tx, "out")
            if self.gps.standby is not None:
                yield Use("gps.standby", self.gps.standby, "out")
        if self.lora:
            for name in ("sck", "mosi", "cs", "rst"):
                yield Use(f"lora.{name}", getattr(self.lora, name), "out")
            for name in ("miso", "dio0", "dio1", "busy"):
                if (pin := getattr(self.lora, name)) is not None:
                    yield Use(f"lora.{name}", pin, "in")
        if self.pmu:
            yield Use("pmu.sda", self.pmu.sda, "both")
            yield Use("pmu.scl", self.pmu.scl, "both")
            yield Use("pmu.irq", self.pmu.irq, "in")
        if self.battery and self.battery.divider:
            yield Use("battery.divider.pin", self.battery.divider.pin, "analog")

    def states(self) -> list[str]:
        """The energy states that this board must give a figure for."""
        wanted = ["cpu", "wifi_connect", "wifi_idle", "wifi_tx", "led"]
        wanted += ["light_sleep"] if self.sleep.light else []
        wanted += ["deep_sleep"] if self.sleep.deep != "no" else []
        wanted += ["buzzer"] if self.buzzer else []
        wanted += ["gps_acquire", "gps_track", "gps_rest"] if self.gps else []
        wanted += ["lora_rx", "lora_tx"] if self.lora else []
        return wanted


def _where(error: Any) -> str:
    """gps.baud, energy.3.ma: a field as a person finds it in the file; lists count from 1."""
    return ".".join(str(part + 1) if isinstance(part, int) else str(part) for part in error["loc"]) or "the file"


def parse(path: Path) -> Board:
    """The board in a file. Problem names the file and each field that is wrong, and what is wrong with it."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise Problem(f"{path.name} is not TOML: {error}", "Correct it") from error
    try:
        board = Board.model_validate(data)
    except ValidationError as error:
        wrong = "; ".join(f"{_where(each)}: {each['msg']}" for each in error.errors())
        raise Problem(f"{path.name}: {wrong}", "Correct the file; boards/board.schema.json has every field") from error
    if board.board.name != path.stem:
        raise Problem(
            f"{path.name} says that its board is {board.board.name!r}", f"Write name = {path.stem!r} in [board]"
        )
    return board
