"""One message through one channel by Apprise (https://github.com/caronc/apprise), with time limits and a reason.

Apprise blocks, and never raises: its result says that it failed, and only its log says why.
"""

from __future__ import annotations

import logging
import threading
from urllib.parse import urlsplit

import apprise

CONNECT_LIMIT_S, READ_LIMIT_S = 4, 6
REASON_CHARACTERS = 200
_log = logging.getLogger("apprise")


class _Reasons(logging.Handler):
    """What Apprise logged in this thread."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._thread = threading.get_ident()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self.said.append(record.getMessage())


def load() -> None:
    """Load Apprise's plugins, which takes half a second: better at the start than with the first alarm. Blocks."""
    apprise.Apprise().add("json://localhost")


def limited(channel: str) -> str:
    """The channel with our limits on connecting and on every read."""
    return f"{channel}{'&' if urlsplit(channel).query else '?'}cto={CONNECT_LIMIT_S}&rto={READ_LIMIT_S}"


def send(channel: str, title: str, body: str) -> str | None:
    """Send; None when the far side took it, else the reason as a sentence. Blocks for some 20 s at most."""
    sender = apprise.Apprise()
    reasons = _Reasons()
    _log.addHandler(reasons)
    try:
        if not sender.add(limited(channel)):
            return "the channel is no address that Apprise knows"
        # A relative's channel is one target: anything but success is a failure of it.
        if bool(sender.notify(body=body, title=title, body_format=apprise.NotifyFormat.TEXT)):
            return None
    finally:
        _log.removeHandler(reasons)
    return " ".join(" ".join(reasons.said).split())[:REASON_CHARACTERS] or "it was refused and no reason was given"
