"""What a device is told when it is provisioned: the content of its /device.json."""

from __future__ import annotations

from typing import Any

from gateway.registry.devices import Device
from panic_wire import topics


def device_settings(
    device: Device,
    *,
    broker_host: str,
    broker_port: int,
    wifi_ssid: str = "",
    wifi_password: str = "",
    board: str = "devkit",
    heartbeat_s: int = 60,
    window_ms: int = 2000,
    broker_tls: dict[str, str] | None = None,
) -> dict[str, Any]:
    """The settings of one device, ready for JSON. They hold its root key: keep the file from others.

    broker_tls: gateway.broker.certificates.device_tls, when the port is that of the TLS listener.
    """
    return {
        "device": topics.device_name(device.id),
        "root_key": device.root_key.hex(),
        "wifi": {"ssid": wifi_ssid, "password": wifi_password},
        "broker": {"host": broker_host, "port": broker_port, **({"tls": broker_tls} if broker_tls else {})},
        "board": board,
        "silent": device.silent,
        "fixed_site": device.fixed_site,
        "heartbeat_s": heartbeat_s,
        "window_ms": window_ms,
    }
