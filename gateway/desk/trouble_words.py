"""What the desk calls devices' troubles, and what is to be done about each. Said in the reader's language."""

from __future__ import annotations

from gateway.words import Translate

# Named here, so that they are found for translation.
_ = str
# By the contract's name: what it is, and what to do.
TROUBLES = {
    "silent": (
        _("gone from the network"),
        _("Is its power and WiFi on? An alarm of it cannot come. Telephone the owner, or send a technician."),
    ),
    "battery_low": (_("battery low"), _("Have it charged, or the battery changed, before it is empty.")),
    "button_stuck": (
        _("button stuck"),
        _("It cannot raise an alarm: have the button freed or replaced today. Telephone the owner."),
    ),
    "gps_silent": (
        _("GPS receiver silent"),
        _("Alarms come, but without a new position. Have its receiver and wiring checked."),
    ),
    "flash_failing": (
        _("memory failing"),
        _("An alarm may not survive a power cut. Replace the board."),
    ),
    "clock_unknown": (
        _("does not know the time"),
        _("It gets it with its next heartbeat. If it lasts, have the technician look at it."),
    ),
    "tamper": (_("opened or tampered with"), _("Telephone the owner, and have somebody look at it.")),
    "crashed": (
        _("crashed and started again"),
        _("Alarms were resumed. If it comes again, send the text below to the developers."),
    ),
    "site_moved": (
        _("not where it was mounted"),
        _("Ask the owner. Its site in the registry is wrong now: have it put back, or surveyed anew."),
    ),
    "fix_jumped": (
        _("position jumped"),
        _("The receiver said something impossible, which was not believed: somebody may be jamming GPS."),
    ),
    "network": (_("network trouble"), _("Alarms may be late. Have the WiFi and its internet line checked.")),
    "radio": (
        _("LoRa radio failing"),
        _("Alarms go over WiFi alone. Have its antenna and its radio checked."),
    ),
    "base_silent": (
        _("base station silent"),
        _("Buttons without WiFi cannot be heard by it. Is its cable in, its light on? Send a technician."),
    ),
    "base_cut_off": (
        _("base station has gone mad, and is cut off"),
        _("It says more than radio can carry. Pull its plug for a minute; if it comes again, replace it."),
    ),
    "edges_lost": (
        _("presses came too fast"),
        _("The contact may be worn: have the button replaced."),
    ),
}
UNKNOWN = (_("trouble number {kind}"), _("The device is newer than this gateway: update the gateway."))
RADIO = {
    1: _("it does not answer"),
    2: _("it is always busy"),
    3: _("its oscillator does not start"),
    4: _("it does not send"),
    5: _("it was not set up"),
}
NETWORK = {
    1: _("no known network in reach"),
    2: _("the WiFi refuses the password"),
    3: _("no name server answers"),
    4: _("a login page answers instead of the internet"),
    5: _("on the backup broker"),
}
UNITS = {
    "button_stuck": "{value} s",
    "gps_silent": "{value} s",
    "site_moved": "{value} m",
    "fix_jumped": "{value} m",
    "edges_lost": "{value}",
    "crashed": "({value})",
    "flash_failing": "({value})",
}


def trouble_words(name: str, translate: Translate) -> str:
    """What it is."""
    if name in TROUBLES:
        return translate(TROUBLES[name][0])
    return translate(UNKNOWN[0]).format(kind=name)


def todo_words(name: str, translate: Translate) -> str:
    """What to do."""
    return translate(TROUBLES.get(name, UNKNOWN)[1])


def value_words(name: str, value: int, translate: Translate) -> str:
    """The value as a person reads it; "" where it says nothing."""
    if name == "battery_low":
        return f"{value / 1000:.2f} V"
    if name == "network":
        return translate(NETWORK[value]) if value in NETWORK else f"({value})"
    if name == "radio":
        return translate(RADIO[value]) if value in RADIO else f"({value})"
    if name in UNITS:
        return UNITS[name].format(value=value)
    return "" if name in TROUBLES else f"({value})"
