"""The police system of `sigap run`, by kind of backend: the police desk, or the reference receiver of that kind."""

from __future__ import annotations

import secrets
import socket
import urllib.request
from typing import Any

from gateway.backend_settings import Backend, Dc09Settings, WebhookSettings

TOPIC, REPLIES = "sigap/incidents", "sigap/replies"
_HERE = "127.0.0.1"


def settings_of(kind: str) -> dict[str, Any]:
    """What a new settings file says of the backend; ports are put on top of it when the gateway starts."""
    of_kind: dict[str, dict[str, Any]] = {
        "webhook": {},
        "dc09": {"host": _HERE, "port": 8480, "key": secrets.token_hex(32), "supervise_s": 10},
        # Here it stands for the police, so that its Ack counts.
        "cap": {"url": f"http://{_HERE}:8480/cap", "sender": "sigap@example.org", "receives": True},
        "mqtt": {"host": _HERE, "port": 8480, "tls": False, "topic": TOPIC, "reply_topic": REPLIES},
    }
    chosen = {} if kind == "webhook" else {"kind": kind, "name": "police"}
    return {f"backends.{key}": value for key, value in (chosen | of_kind[kind]).items()}


def reached_at(kind: str, port: int) -> dict[str, str]:
    """The gateway's environment that leads it to a port here."""
    if kind in ("dc09", "mqtt"):
        return {"SIGAP_BACKENDS__0__PORT": str(port)}
    path = {"webhook": "alarms", "cap": "cap"}[kind]
    return {"SIGAP_BACKENDS__0__URL": f"http://{_HERE}:{port}/{path}"}


def secrets_of(backend: Backend) -> dict[str, str]:
    """The far side's environment: what no command line should show."""
    if isinstance(backend, WebhookSettings):
        return {"SIGAP_POLICE_SECRET": backend.secret, "SIGAP_POLICE_CALLBACK_SECRET": backend.callback_secret}
    return {"SIGAP_DC09_KEY": backend.key} if isinstance(backend, Dc09Settings) else {}


def command(kind: str, port: int, callbacks: str, auto: dict[str, float]) -> list[str]:
    """The arguments of `sigap` that start it. callbacks: where the police desk sends stages; auto: which, when."""
    if kind != "webhook":
        return ["backends", "receive", kind, "--port", str(port)]
    stages = ["--auto", ",".join(f"{stage}={seconds:g}" for stage, seconds in auto.items())] if auto else []
    return ["police-desk", "--port", str(port), "--callback-url", callbacks, *stages]


def answers(kind: str, port: int) -> bool:
    """Whether it is ready."""
    try:
        if kind in ("webhook", "cap"):
            urllib.request.urlopen(f"http://{_HERE}:{port}/", timeout=2).close()
        else:
            socket.create_connection((_HERE, port), 2).close()
    except OSError:
        return False
    return True
