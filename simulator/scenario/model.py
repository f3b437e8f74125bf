"""What a scenario file may say. `scenario.schema.json` beside the scenarios is made from this, for editors."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Who = Annotated[str, Field(description="A button's name, a pattern such as toko-*, or all")]
At = Annotated[float, Field(ge=0, description="Seconds since the world's start")]
Stage = Literal["received", "accepted", "acknowledged", "dispatched", "on_scene", "closed"]
Row = Annotated[tuple[int, int, int], Field(description="[Hz, spreading factor, Hz of the answers]")]
Sky = Literal["open", "street", "indoors", "none", "jammed"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Battery(_Part):
    """charge_mah, from full at 4.2 V to empty at 3.0 V. What the board does drains it (simulator/virtual/energy.py)."""

    charge_mah: float = Field(gt=0, description="What is in it at the start")
    drain_ma: float | None = Field(default=None, gt=0, description="A mean current instead, while it is on")


class AccessPoint(_Part):
    """A WiFi network around a button."""

    ssid: str = Field(min_length=1, max_length=32)
    password: str = ""
    up: bool = Field(default=True, description="It is in the air at the start")
    rssi_dbm: int = -60
    channel: int = Field(default=6, ge=1, le=13)
    portal: bool = Field(default=False, description="A captive portal: joined, and nothing but a log-in page")


class ButtonPart(_Part):
    """One button, or `count` of them named NAME-1, NAME-2, ..."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,30}$")
    count: int = Field(default=1, ge=1, le=500)
    site: tuple[float, float] | None = Field(default=None, description="Surveyed [latitude, longitude]: a fixed button")
    track: list[tuple[float, float, float]] | None = Field(
        default=None, description="Where its GPS receiver goes: [[seconds, latitude, longitude], ...]"
    )
    sky: Sky = Field(default="open", description="What its receiver sees at the start")
    silent: bool = False
    wants_tests: bool = Field(default=False, description="Its owner's relative wants to hear of tests")
    heartbeat_s: int | None = Field(
        default=None,
        ge=10,
        le=86400,
        description="Between two heartbeats; the firmware's own default when absent, an hour when it sleeps",
    )
    power: Literal["mains", "light", "deep"] = Field(default="mains", description="What it does between heartbeats")
    hold_is_sos: bool = Field(default=False, description="A hold of 2 s is the same SOS; then it enters no test mode")
    by_name: bool = Field(default=False, description="Its broker is given by a name, which it must look up")
    join_ms: int = Field(default=1500, ge=0, description="What its WiFi takes to join")
    wifi: list[AccessPoint] = Field(
        default_factory=list,
        max_length=4,
        description="The networks that it knows, the preferred first; one that takes anybody when absent",
    )
    powered: bool = Field(default=True, description="It has power from the start")
    ticks_ms: int = Field(default=0, ge=0, lt=1 << 30, description="What its clock says at power-on; 2^30 is the wrap")
    battery: Battery | None = None
    wear_limit: int = Field(default=100_000, ge=1, description="Erases of a block before it fails")
    lora: Literal["sx1262", "sx1276"] | None = Field(
        default=None, description="It has this LoRa radio, and is a T-Beam; with `plan`, or the only base's own"
    )
    plan: list[Row] = Field(default_factory=list, max_length=16, description="Which base stations it tries, in order")
    place: tuple[float, float] = Field(default=(0.0, 0.0), description="Metres east and north, for who hears whom")
    radius_m: float = Field(default=0.0, ge=0, description="Each of several within so many metres of `place`")


class BasePart(_Part):
    """A base station for LoRa at a serial port of the gateway. row: [Hz, spreading factor, Hz of its answers]."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,30}$")
    row: Row = (921_400_000, 9, 921_800_000)
    place: tuple[float, float] = (0.0, 0.0)
    noise: float = Field(default=0.0, ge=0, le=0.2, description="Chance of each byte on its line to become another")


class _Step(_Part):
    at_s: At


class BaseStep(_Step):
    """A base station's cable is pulled or put in, or its own supply goes or comes."""

    do: Literal["base"]
    who: Who
    what: Literal["unplug", "plug", "off", "on"]


class AirStep(_Step):
    """What becomes of packets on the air: the chance that one fades away, either way."""

    do: Literal["air"]
    loss: float = Field(ge=0, le=1)


class Press(_Step):
    """A hand on the button."""

    do: Literal["press"]
    who: Who
    presses: int = Field(default=3, ge=1, le=100)
    hands: Literal["steady", "frightened", "clean"] = Field(
        default="clean", description="clean: 90 ms down, 210 ms up; steady and frightened: drawn from the seed"
    )
    spread_s: float = Field(default=0, ge=0, description="Each of several within so many seconds, drawn from the seed")
    bounce: bool = Field(default=True, description="The contact chatters as measured ones do")


class Hold(_Step):
    """The button is held down: ten seconds begin test mode, or two are an SOS where hold_is_sos."""

    do: Literal["hold"]
    who: Who
    for_s: float = Field(default=10.5, gt=0, le=600)


class Power(_Step):
    """The supply is cut, or comes back."""

    do: Literal["power"]
    who: Who
    up: bool
    spread_s: float = Field(default=0, ge=0)


class Reset(_Step):
    """The reset button, or a brown-out: RAM is lost, flash stays."""

    do: Literal["reset"]
    who: Who
    spread_s: float = Field(default=0, ge=0)


class Crash(_Step):
    """The firmware runs out of memory where it next moves a pin, as a mistake in it would crash it."""

    do: Literal["crash"]
    who: Who


class Wifi(_Step):
    """The access point goes, or comes back; or it takes another password, or has a captive portal."""

    do: Literal["wifi"]
    who: Who
    ssid: str | None = Field(default=None, description="Which of several; the first when absent")
    portal: bool | None = None
    up: bool | None = None
    password: str | None = None
    rssi_dbm: int | None = None


class Network(_Step):
    """The way to the broker: delay, loss, or one way that carries nothing (half-open). for_s: then it is well again."""

    do: Literal["network"]
    who: Who
    delay_ms: float | None = Field(default=None, ge=2)
    jitter_ms: float | None = Field(default=None, ge=0)
    loss: float | None = Field(default=None, ge=0, le=0.95)
    up: bool | None = None
    down: bool | None = None
    for_s: float | None = Field(default=None, gt=0)


class Names(_Step):
    """How the look-up of a name goes; it blocks the board meanwhile."""

    do: Literal["names"]
    who: Who
    stall_s: float = Field(default=0.03, ge=0, le=30)
    fails: bool = False


class See(_Step):
    """What the GPS receiver sees; spoof_m: metres [north, east] that somebody adds."""

    do: Literal["sky"]
    who: Who
    view: Sky = "open"
    spoof_m: tuple[float, float] = (0.0, 0.0)


class BrokerStep(_Step):
    do: Literal["broker"]
    what: Literal["stop", "continue", "kill", "start"]


class GatewayStep(_Step):
    do: Literal["gateway"]
    what: Literal["stop", "continue", "kill", "start", "disk-full", "disk-free"]


class Outside(_Step):
    """The police backend, or the relatives' mail server, is reachable or not."""

    do: Literal["police", "relatives"]
    up: bool


class Operate(_Step):
    """An operator does something with the newest incident of a button."""

    do: Literal["operator"]
    who: Who
    stage: Literal["acknowledged", "dispatched", "on_scene", "closed"]
    disposition: Literal["genuine", "false", "test", "exercise", "unfounded"] = "genuine"
    test: bool = Field(default=False, description="Of its newest test instead")


class CommandStep(_Step):
    """An administrator asks something of a button, from afar."""

    do: Literal["command"]
    who: Who
    what: Literal["set", "locate", "test_mode_on", "test_mode_off", "restart"]
    setting: str = Field(default="", max_length=95, description="With set: NAME=VALUE")


class Revoke(_Step):
    """The button was stolen or lost: it counts no more."""

    do: Literal["revoke"]
    who: Who


class Replay(_Step):
    """Somebody who recorded every frame of a button sends them all again; garbage: and noise."""

    do: Literal["replay"]
    who: Who
    garbage: int = Field(default=0, ge=0, le=10_000)


Step = Annotated[
    Press
    | Hold
    | Power
    | Reset
    | Crash
    | Wifi
    | Network
    | Names
    | See
    | BrokerStep
    | GatewayStep
    | Outside
    | Operate
    | CommandStep
    | Revoke
    | Replay
    | BaseStep
    | AirStep,
    Field(discriminator="do"),
]


class Expect(_Part):
    """What must come of it, at the end. Give any; all that are given must hold for each of `who`."""

    who: Who = "all"
    alarms: int | None = Field(default=None, ge=0, description="So many real alarms are in the store")
    tests: int | None = Field(default=None, ge=0, description="So many test alarms")
    incidents: int | None = Field(default=None, ge=0, description="Real ones")
    stage: Stage | None = Field(default=None, description="Its first alarm reached this")
    within_s: float | None = Field(default=None, gt=0, description="... so soon after the press; late by this at most")
    state: Literal["open", "acknowledged", "dispatched", "on_scene", "closed"] | None = None
    shown: list[str] | None = Field(default=None, description="What the light said, in this order, others between")
    dark: bool | None = Field(default=None, description="Neither light nor buzzer was ever on")
    unreceipted: int | None = Field(default=None, ge=0, description="Alarms in its journal without a receipt")
    online: bool | None = None
    heartbeats: int | None = Field(default=None, ge=0, description="At least so many in all")
    near: tuple[float, float] | None = Field(default=None, description="The newest alarm says this place, [lat, lon]")
    within_m: float = Field(default=50.0, gt=0)
    no_position: bool | None = None
    relatives_told: int | None = Field(default=None, ge=0, description="Messages to its relatives, at least")
    cancelled: Literal["no", "mistake", "duress"] | None = Field(default=None, description="Its newest real alarm")
    moved: bool | None = Field(default=None, description="Its newest real alarm says that it is not where it belongs")
    troubles: list[str] | None = Field(default=None, description="Those that last, in any order")
    had_troubles: list[str] | None = Field(default=None, description="Among those that it has or had, in this order")
    answers: list[str] | None = Field(
        default=None, description="What became of each command, in order: done, refused, unknown, sent, waiting"
    )
    crashes: int | None = Field(default=None, ge=0, description="Texts of crashes that it sent")
    way: Literal["wifi", "lora"] | None = Field(default=None, description="How its newest real alarm came first")
    refused: int | None = Field(default=None, ge=0, description="Frames in quarantine, at least (of all buttons)")
    resets: int | None = Field(default=None, ge=0, description="At most so many resets that nobody asked for")


class Scenario(_Part):
    """A scenario file."""

    title: str = Field(min_length=5, max_length=120)
    story: str = Field(min_length=20, description="For a reader: what happens, and why it matters")
    length_s: float = Field(gt=0, le=30 * 86400)
    long: bool = Field(default=False, description="Takes many minutes: `make soak` runs it, not --all")
    buttons: list[ButtonPart] = Field(min_length=1)
    bases: list[BasePart] = Field(default_factory=list, max_length=16)
    air_loss: float = Field(default=0.0, ge=0, le=1, description="Chance that a packet on the air fades away")
    steps: list[Step] = Field(default_factory=list)
    expect: list[Expect] = Field(default_factory=list)
    gives_up: list[str] = Field(
        default_factory=list, description="Promises that this world breaks by what it is; each with a reason in `story`"
    )

    @model_validator(mode="after")
    def _whole(self) -> Scenario:
        names = self.names()
        both = names + [base.name for base in self.bases]
        if len(set(both)) != len(both):
            raise ValueError("two buttons have one name")
        for step in self.steps:
            if step.at_s > self.length_s:
                raise ValueError(f"a step at {step.at_s:g} s comes after the end ({self.length_s:g} s)")
        of_buttons = [step for step in self.steps if not isinstance(step, BaseStep)]
        for step in self.steps:
            if isinstance(step, BaseStep) and not any(fnmatchcase(base.name, step.who) for base in self.bases):
                raise ValueError(f"no base station is named {step.who}")
        for who in [getattr(step, "who", "all") for step in of_buttons] + [each.who for each in self.expect]:
            if who != "all" and not any(fnmatchcase(name, who) for name in names):
                raise ValueError(f"no button is named {who}; there are {', '.join(names[:10])}")
        return self

    def names(self) -> list[str]:
        """The name of every button, in order."""
        return [name for part in self.buttons for name in part_names(part)]


def part_names(part: ButtonPart) -> list[str]:
    return [part.name] if part.count == 1 else [f"{part.name}-{n}" for n in range(1, part.count + 1)]


def schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a scenario file."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Scenario.model_json_schema()}
