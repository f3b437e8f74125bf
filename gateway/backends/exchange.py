"""What far sides are told and say in JSON; what they say is read without trusting it."""

from __future__ import annotations

import json
from typing import Any

LATE = "sigap-late-seconds"  # header or user property of what is told late


def json_text(content: dict[str, Any]) -> str:
    """`content` as it is sent, the same text each time."""
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def json_object(answer: bytes | None) -> dict[str, Any]:
    """The JSON object in `answer`, or an empty one: what we do not understand accepts nothing."""
    try:
        said = json.loads(answer or b"{}")
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}
