"""What firmware/panic/schema.py says of the settings, for those that may not import it: a JSON file and a table.

python -m sigap.firmware.schema            write gateway/registry/device_settings.json and the table in docs/firmware.md
python -m sigap.firmware.schema --check    exit 1 when they differ
"""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from typing import Any

from sigap.generated import ROOT, between, write_or_check

SOURCE = ROOT / "firmware" / "panic" / "schema.py"
FOR_GATEWAY = ROOT / "gateway" / "registry" / "device_settings.json"
PAGE = ROOT / "docs" / "firmware.md"
BEGIN, END = "<!-- settings: made by `make generate` -->", "<!-- end of settings -->"

MEANING = {
    "device": "its id, eight hex digits",
    "root_key": "the secret that it shares with the registry; never shown, never sent",
    "board": "which board it is: a file of `hardware/boards/`",
    "wifi.ssid": "the network's name",
    "wifi.password": "empty for an open network",
    "broker.host": "name or address of the broker",
    "broker.port": "of the broker",
    "silent": "shows and sounds nothing, but in test mode",
    "wifi.keep_address": "begin with the last good address, without DHCP: for boards that sleep",
    "vibrate_on_receipt": "a silent device shakes once, shortly, when its alarm was received",
    "cancel_is_duress": "a cancel says that somebody makes the person do it; on the button it looks the same",
    "fixed_site": "mounted; its surveyed place is in the registry",
    "site.lat_e7": "where it was mounted: with this and a GPS, it says when it is elsewhere",
    "site.lon_e7": "see `site.lat_e7`",
    "site.moved_m": "how far from there is elsewhere",
    "power": "what it runs on: `mains` is always awake, `light` and `deep` sleep (see Power)",
    "hold_is_sos": "held for two seconds is the same SOS: for boards that sleep deeply",
    "heartbeat_s": "between two heartbeats; 3600 s for one that sleeps, when nothing is said",
    "window_ms": "three presses within this are an alarm",
    "gap_ms": "longest time between two of them",
    "battery_low_mv": "below it: trouble *battery low*; it ends 100 mV higher",
    "battery_reserve_mv": "below it no more position updates are sent: what is left is for alarms",
}


def rows() -> list[dict[str, Any]]:
    """Each setting: name, kind, least, most, default (absent when it may be left out), required, unit, afar."""
    found = runpy.run_path(str(SOURCE))
    out = []
    for name, kind, least, most, default, unit, afar in found["SCHEMA"]:
        row = {"name": name, "kind": kind, "least": least, "most": most, "unit": unit, "afar": afar}
        row["required"] = default is found["REQUIRED"]
        if default is not found["REQUIRED"] and default is not found["ABSENT"]:
            row["default"] = default
        out.append(row)
    return out


def table() -> str:
    """The settings as Markdown."""
    lines = ["| name | what | value | default | from afar |", "|---|---|---|---|---|"]
    for row in rows():
        span = f"{row['least']} to {row['most']}"
        words = row["least"] if row["kind"] == "choice" else ()
        value = {
            "choice": " or ".join(f"`{word}`" for word in words),
            "bool": "true or false",
            "hex": f"{row['least']} hex digits",
            "text": f"{span} letters",
            "int": f"{span} {row['unit']}".strip(),
        }[row["kind"]]
        default = "required" if row["required"] else json.dumps(row["default"]) if "default" in row else "none"
        afar = "yes" if row["afar"] else ""
        lines.append(f"| `{row['name']}` | {MEANING[row['name']]} | {value} | {default} | {afar} |")
    return "\n".join(lines)


def texts() -> dict[Path, str]:
    """What the files should hold."""
    each = ",\n".join("  " + json.dumps(row) for row in rows())
    return {FOR_GATEWAY: f"[\n{each}\n]\n", PAGE: between(PAGE, BEGIN, END, table())}


def main(arguments: list[str]) -> int:
    """0; with --check 1 when a file differs from what the schema makes."""
    return write_or_check(texts(), arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
