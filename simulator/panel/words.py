"""The texts that the page's scripts show. Source language is English; the rest is in locale/."""

from __future__ import annotations

from pathlib import Path

from sigap.words import Translate

LOCALE = Path(__file__).parent / "locale"


def page_words(_: Translate) -> dict[str, str]:
    """{what the scripts call it: the text}."""
    return {
        "idle": _("No alarm"),
        "idle_silent": _("Its light stays dark"),
        "off": _("Off: no power"),
        "starting": _("Starting"),
        "failed": _("Broken: it does not start"),
        "sending": _("Sending"),
        "received": _("Received"),
        "accepted": _("Accepted"),
        "relatives": _("Relatives told"),
        "acknowledged": _("Police have seen it"),
        "dispatched": _("Help is coming"),
        "not received": _("Not received, still trying"),
        "cancelled": _("Said to be a mistake"),
        "on_scene": _("On scene"),
        "closed": _("Closed"),
        "pressed": _("Third press"),
        "test mode": _("Test mode"),
        "test sending": _("Test: sending"),
        "test received": _("Test: received"),
        "press": _("Hold the button of {board}"),
        "thrice": _("Press three times"),
        "power": _("Power"),
        "wifi": _("WiFi"),
        "sky": _("Sky"),
        "battery": _("Battery"),
        "not_measured": _("not measured (0)"),
        "unknown": _("unknown"),
        "place": _("Position"),
        "no_fix": _("no fix"),
        "site": _("fixed site"),
        "no_gps": _("no GPS"),
        "buzzer": _("Buzzer"),
        "quiet": _("quiet"),
        "sounds": _("sounds"),
        "console": _("Console of {board}"),
        "test": _("test"),
        "light": _("light"),
        "before": _("before"),
        "silent": _("silent"),
        "none": _("No alarm yet. Press a button three times."),
        "map": _("Map"),
        "sound_on": _("Sound: on"),
        "sound_off": _("Sound: off"),
        "running": _("running"),
        "passed": _("passed"),
        "failed_run": _("failed"),
        "refused": _("That did not work: {why}"),
    }
