"""What a far side said, read without trusting it."""

from __future__ import annotations

import json
from typing import Any


def json_object(answer: bytes | None) -> dict[str, Any]:
    """The JSON object in `answer`, or an empty one: what we do not understand accepts nothing."""
    try:
        said = json.loads(answer or b"{}")
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}
