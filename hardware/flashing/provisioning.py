"""A device's settings onto its board: checked by the firmware itself, written whole or not at all, read back."""

from __future__ import annotations

import json
from typing import Any

from hardware.flashing.repl import Repl
from sigap.problem import Problem

PATH, NEW = "/device.json", "/device.json.new"
# The firmware's own judge says what is wrong; the last line is all that comes back.
_CHECK = f"""
import json
said = "absent"
try:
    from panic.settings import SettingsError, check
    from hal.boards import NAMES
    try:
        with open({NEW!r}) as file:
            values = json.load(file)
        check(values)
        said = "" if values["board"] in NAMES else "board %s is unknown to this firmware" % values["board"]
    except SettingsError as error:
        said = str(error)
except ImportError:
    pass
"""


def write_settings(repl: Repl, settings: dict[str, Any]) -> None:
    """Problem when the firmware refuses them (the old ones stay) or the line breaks (old or new, never half)."""
    content = json.dumps(settings, indent=2).encode() + b"\n"
    repl.write(NEW, content, "writing the settings")
    said = repl.ask("said", "checking the settings", _CHECK)
    if said:
        repl.run(f"import os\nos.remove({NEW!r})", "taking the refused settings away")
        if said == "absent":
            raise Problem(f"{repl.port}: there is no firmware on this board", "Run `sigap flash` first")
        raise Problem(
            f"the firmware refuses the settings: {said}", "Correct what it names; the old ones are still there"
        )
    repl.run(f"import os\nos.rename({NEW!r}, {PATH!r})", "putting the settings in place")
    back = repl.run(f"with open({PATH!r}) as file: print(file.read(), end='')", "reading the settings back")
    if back.replace("\r\n", "\n").encode() != content:
        raise Problem(f"{repl.port}: the settings read back differ from what was written", "Run it again")
