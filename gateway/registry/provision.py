"""What a device is told when it is provisioned: the content of its /device.json."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from gateway.registry.devices import Device
from panic_wire import topics
from sigap.problem import Problem

# Made from firmware/panic/schema.py by `make generate`.
SCHEMA = Path(__file__).with_name("device_settings.json")


def device_settings(
    device: Device,
    *,
    broker_host: str,
    broker_port: int,
    wifi_ssid: str = "",
    wifi_password: str = "",
    board: str = "devkit",
    heartbeat_s: int | None = None,
    broker_tls: dict[str, str] | None = None,
) -> dict[str, Any]:
    """The settings of one device, ready for JSON. They hold its root key: keep the file from others.

    broker_tls: gateway.broker.certificates.device_tls, when the port is that of the TLS listener. What is not said here
    is not in the file: the firmware has its own default for it (docs/firmware.md).
    """
    settings: dict[str, Any] = {
        "device": topics.device_name(device.id),
        "root_key": device.root_key.hex(),
        "wifi": {"ssid": wifi_ssid, "password": wifi_password},
        "broker": {"host": broker_host, "port": broker_port, **({"tls": broker_tls} if broker_tls else {})},
        "board": board,
        "silent": device.silent,
        "fixed_site": device.fixed_site,
    }
    if heartbeat_s is not None:
        settings["heartbeat_s"] = heartbeat_s
    if device.fixed_site:
        # One that has a GPS says so when it is elsewhere.
        settings["site"] = {"lat_e7": device.site_lat_e7, "lon_e7": device.site_lon_e7}
    # Without a network the file is a beginning: a technician fills it in, and the device does not start before.
    if wrong := [each for each in mistakes(settings) if wifi_ssid or not each.startswith("wifi.ssid ")]:
        raise Problem(f"{device.name} would not start: {'; '.join(wrong)}", "change what it is provisioned with")
    return settings


@functools.cache
def schema() -> tuple[dict[str, Any], ...]:
    """Each setting: name, kind, least, most, unit, afar, required, and default where it has one."""
    return tuple(json.loads(SCHEMA.read_text(encoding="utf-8")))


def mistakes(settings: dict[str, Any]) -> list[str]:
    """What the device would refuse of these settings, as sentences that show no value."""
    out = []
    for row in schema():
        group, _, last = row["name"].rpartition(".")
        table = settings.get(group, {}) if group else settings
        value = table.get(last, row.get("default"))
        if value is None:
            out += [f"{row['name']} is missing"] if row["required"] else []
        elif not _fits(row, value):
            span = " or ".join(row["least"]) if row["kind"] == "choice" else f"{row['least']} to {row['most']}"
            out.append(f"{row['name']} does not fit ({row['kind']}, {span})")
    return out


def _fits(row: dict[str, Any], value: Any) -> bool:
    match row["kind"]:
        case "choice":
            return value in row["least"]
        case "bool":
            return isinstance(value, bool)
        case "int":
            return isinstance(value, int) and not isinstance(value, bool) and row["least"] <= value <= row["most"]
        case "hex":
            right = isinstance(value, str) and len(value) == row["most"]
            return right and all(letter in "0123456789abcdefABCDEF" for letter in value)
    return isinstance(value, str) and row["least"] <= len(value) <= row["most"]
