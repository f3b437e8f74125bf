"""The gateway's log: JSON lines on stderr, in which an alarm keeps its identity, and no secret is readable."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterable
from datetime import UTC, datetime

# Fields that a line may carry (logging's `extra`), each with the same name from the frame to the last delivery.
IDENTITY = ("alarm", "incident", "device", "delivery", "destination")
MASK = "********"
_LEAST_SECRET = 6  # shorter ones would mask ordinary words; settings have none
# Passwords and tokens inside URLs (a relative's channel); whatever signs for webhooks, whoever logs it.
_PATTERNS = (
    (re.compile(r"(?<=://)[^\s/@\"']+@"), f"{MASK}@"),
    (re.compile(r"whsec_[A-Za-z0-9+/=]+"), MASK),
)


class JsonLines(logging.Formatter):
    """One JSON document a line: at, level, part, says, what of IDENTITY it has, and the traceback when there is one."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        super().__init__()
        self._secrets = sorted((each for each in secrets if len(each) >= _LEAST_SECRET), key=len, reverse=True)

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {"at": at, "level": record.levelname.lower(), "part": record.name}
        line["says"] = self.masked(record.getMessage())
        line |= {name: getattr(record, name) for name in IDENTITY if getattr(record, name, None) is not None}
        if record.exc_info:
            line["traceback"] = self.masked(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False)

    def masked(self, text: str) -> str:
        """The text without secrets: a second line of defence, as nothing of ours logs one."""
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        for pattern, instead in _PATTERNS:
            text = pattern.sub(instead, text)
        return text


def log_to_stderr(level: str = "info", secrets: Iterable[str] = ()) -> None:
    """Structured logs on stderr, for this process. secrets: values that must not be read in them."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(secrets))
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    for talkative in ("uvicorn", "alembic", "apprise"):
        logging.getLogger(talkative).setLevel(logging.WARNING)
