"""What the doctor finds: one look at one thing."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

OK, WARN, BAD = "ok", "warn", "bad"


@dataclass(frozen=True)
class Finding:
    """check: what was looked at; state: ok, warn or bad; says, todo: sentences without a full stop."""

    check: str
    state: str
    says: str
    todo: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)
