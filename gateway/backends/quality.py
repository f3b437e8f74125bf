"""The quality checklist of a kind of backend: what it guarantees, what `accepted` means there, which misbehaviours of
the far side are tested. `sigap backends` prints it and docs/backends.md holds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

# What a far side may do, and what must follow. Each kind names the test of each, or why it cannot happen there.
MISBEHAVIOURS = {
    "slow": "answers later than an attempt may take",
    "refuses": "says no",
    "half an answer": "closes in the middle of its answer",
    "wrong answer": "says what is no answer",
    "huge answer": "sends more than anybody needs",
    "accepts twice": "says yes again",
    "hangs up": "closes without an answer",
    "gone": "nobody listens",
    "wrong TLS": "shows a certificate that we do not trust",
    "wrong key": "has another secret or key than we",
    "wrong clock": "has another time than we",
    "floods": "sends far more than was asked",
    "unknown incident": "speaks of an incident that does not exist",
    "another's incident": "speaks of an incident that it was not told of",
    "out of order": "says what belongs to something else, or late",
    "goes backwards": "says a stage that lies behind",
}


@dataclass(frozen=True)
class Quality:
    """speaks: standards. done: when a delivery is not tried again. accepted: what counts as that. guarantees:
    sentences. tested: by misbehaviour "file::test", or a sentence why it cannot happen; all of MISBEHAVIOURS."""

    speaks: str
    done: str
    accepted: str
    guarantees: tuple[str, ...]
    tested: Mapping[str, str]

    def __post_init__(self) -> None:
        if set(self.tested) != set(MISBEHAVIOURS):
            raise ValueError(f"not as listed: {sorted(set(self.tested) ^ set(MISBEHAVIOURS))}")

    def to_dict(self) -> dict[str, Any]:
        """As `sigap backends --json` prints it."""
        return {**asdict(self), "tested": dict(self.tested)}

    @staticmethod
    def is_test(said: str) -> bool:
        """Whether an entry of `tested` names a test."""
        return "::" in said
