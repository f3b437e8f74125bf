"""The parts of a Sigap that a story kills and starts; here the broker and the relatives' mail server."""

from __future__ import annotations

from contextlib import AbstractContextManager
from email import message_from_bytes, policy
from email.message import EmailMessage

from gateway.clock import now_us
from gateway.registry.people import add_relative
from sigap.local import BROKER, MAIL
from sigap.problem import Problem
from sigap.story.board import AnyBoard, owner_of
from sigap.story.stage import Stage, listens
from sigap.story.waiting import LIMIT_S, wait_until


class Part:
    """One process of the stage. name: as sigap.local calls it; its log lies under that name."""

    name = ""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def start(self) -> None:
        """Start it, or start it again; returns when it is ready. Problem when it runs already."""
        if self._stage.runs(self.name):
            raise Problem(f"{self.name} runs already", "kill() it first")
        self._stage.start([self.name])
        self.wait_ready()

    def wait_ready(self) -> None:
        """Return when it takes its work."""
        self._stage.wait_ready(self.name, self._is_ready)

    def kill(self) -> None:
        """End it at once, as `kill -9` does. What it has on disk stays. Problem when it does not run."""
        self._stage.kill(self.name)

    def frozen(self) -> AbstractContextManager[None]:
        """`with broker.frozen():` it lives, keeps its connections, and does nothing until the block ends (SIGSTOP)."""
        return self._stage.frozen(self.name)

    def _is_ready(self) -> bool:
        raise NotImplementedError


class Broker(Part):
    """Mosquitto, as `sigap broker` runs it."""

    name = BROKER

    def _is_ready(self) -> bool:
        return listens(self._stage.local.ports.broker)


class Relatives(Part):
    """The relatives' mailbox, behind a real mail server. Every owner has one, who wants no tests."""

    name = MAIL

    def add(self, name: str, *, of: AnyBoard, wants_tests: bool = False) -> None:
        """Register one more relative of the board's owner: `name` as in name@example.org."""
        local = self._stage.local
        owner, channel = owner_of(of.name), local.channel(name)
        with local.store.write() as conn:
            add_relative(conn, owner=owner, name=name, channel=channel, wants_tests=wants_tests, now_us=now_us())

    def mails(self) -> list[EmailMessage]:
        """Every mail that has come, oldest first."""
        paths = sorted(self._stage.local.mails.glob("*.eml"))
        return [message_from_bytes(path.read_bytes(), policy=policy.default) for path in paths]  # type: ignore[misc]

    def gets_mail(self, text: str = "", within_s: float = LIMIT_S) -> EmailMessage:
        """Wait for a mail that has the text in its subject; the newest such."""
        __tracebackhide__ = True

        def seen() -> str:
            subjects = ", ".join(repr(str(mail["subject"])) for mail in self.mails()) or "none"
            return f"mails: {subjects}; {self._stage.how()}"

        what = f"a mail about {text!r}" if text else "a mail"
        looking = lambda: [mail for mail in self.mails() if text in str(mail["subject"])]  # noqa: E731
        return wait_until(self._stage.clock, looking, what, within_s, seen)[-1]

    def _is_ready(self) -> bool:
        return listens(self._stage.local.ports.mail)
