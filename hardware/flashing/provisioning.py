"""A device's settings onto its board: checked by the firmware itself, written whole or not at all, read back."""

from __future__ import annotations

import json
from typing import Any

from hardware.flashing.repl import Repl
from sigap.problem import Problem

DEVICE, BASE = "device", "base"
# What a board is follows from the file that it has: the other one goes.
_PATHS = {DEVICE: "/device.json", BASE: "/base.json"}
NEW = "/settings.new"
_JUDGES = {
    DEVICE: "from panic.settings import SettingsError, check",
    BASE: "from base.settings import check; SettingsError = ValueError",
}
# The firmware's own judge says what is wrong; the last line is all that comes back.
_CHECK = """
import json
said = "absent"
try:
    {judge}
    from hal.boards import NAMES
    try:
        with open({new!r}) as file:
            values = json.load(file)
        check(values)
        said = "" if values["board"] in NAMES else "board %s is unknown to this firmware" % values["board"]
    except SettingsError as error:
        said = str(error)
except ImportError:
    pass
"""


def write_settings(repl: Repl, settings: dict[str, Any], role: str = DEVICE) -> None:
    """role: DEVICE, a button, or BASE, a base station. Problem when the firmware refuses them (the old ones stay) or
    the line breaks (old or new, never half)."""
    content = json.dumps(settings, indent=2).encode() + b"\n"
    repl.write(NEW, content, "writing the settings")
    path = _PATHS[role]
    others = [each for each in _PATHS.values() if each != path]
    said = repl.ask("said", "checking the settings", _CHECK.format(judge=_JUDGES[role], new=NEW))
    if said:
        repl.run(f"import os\nos.remove({NEW!r})", "taking the refused settings away")
        if said == "absent":
            raise Problem(f"{repl.port}: there is no firmware on this board", "Run `sigap flash` first")
        raise Problem(
            f"the firmware refuses the settings: {said}", "Correct what it names; the old ones are still there"
        )
    away = "".join(f"\nif {each[1:]!r} in os.listdir('/'): os.remove({each!r})" for each in others)
    repl.run(f"import os\nos.rename({NEW!r}, {path!r}){away}", "putting the settings in place")
    back = repl.run(f"with open({path!r}) as file: print(file.read(), end='')", "reading the settings back")
    if back.replace("\r\n", "\n").encode() != content:
        raise Problem(f"{repl.port}: the settings read back differ from what was written", "Run it again")
