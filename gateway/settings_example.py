"""Writes a settings file for people: every key with its meaning, defaults as comments, fresh random
secrets."""

from __future__ import annotations

import base64
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gateway.backend_settings import DEFAULT_KIND, KINDS
from gateway.settings import SECTIONS
from sigap.problem import Problem

HEAD = """\
# Settings of the Sigap gateway. A line that begins with # shows a default. An environment variable goes
# before a key here: SIGAP_BROKER__PORT for port in [broker], SIGAP_BACKENDS__0__URL for the first backend's
# url. This file holds secrets: keep it readable for its owner only. `sigap config show` checks it.
"""


def new_password() -> str:
    """A broker password that nobody guesses: 192 random bits."""
    return secrets.token_urlsafe(24)


def new_webhook_secret() -> str:
    """A Standard Webhooks secret: whsec_ and 32 random bytes in base64."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def example(values: Mapping[str, Any] | None = None) -> str:
    """The text of a valid settings file. values: other than the example's, such as {"broker.port": 1883}.

    Keys of the one backend are `backends.url` and so on; `backends.kind` says which kind it is.
    """
    chosen: dict[str, Any] = {
        "broker.password": new_password(),
        "backends.name": "police",
        "backends.url": "http://127.0.0.1:8480/alarms",
        "backends.secret": new_webhook_secret(),
        "backends.callback_secret": new_webhook_secret(),
        **(values or {}),
    }
    lines = [HEAD]
    kind = KINDS[chosen.get("backends.kind", DEFAULT_KIND)]
    if kind is not KINDS[DEFAULT_KIND]:
        given = values or {}
        chosen = {
            key: value for key, value in chosen.items() if key in given or key.split(".")[1] in ("name", "password")
        }
    for section in SECTIONS:
        model = kind if section == "backends" else SECTIONS[section]
        about = " ".join((model.__doc__ or "").split())
        lines.append(f"# {about}")
        lines.append(f"[[{section}]]" if section == "backends" else f"[{section}]")
        for key, field in model.model_fields.items():
            dotted = f"{section}.{key}"
            lines.append(f"# {field.description}")
            value = chosen.pop(dotted) if dotted in chosen else None
            lines.append(f"# {key} = {_toml(field.default)}" if value is None else f"{key} = {_toml(value)}")
        lines.append("")
    if chosen:
        raise KeyError(f"no such settings: {', '.join(chosen)}")
    return "\n".join(lines)


def write_example(path: Path, values: Mapping[str, Any] | None = None) -> bool:
    """Write the example with mode 0600 where there is no file yet; False, and nothing changed, where there
    is."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return False
    except OSError as error:
        raise Problem(f"{path} cannot be written: {error.strerror}", "Name another file with --config") from error
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(example(values))
    return True


def _toml(value: Any) -> str:
    # A JSON string is a TOML basic string, and JSON's numbers and truth values are TOML's.
    return json.dumps(value, ensure_ascii=False)
