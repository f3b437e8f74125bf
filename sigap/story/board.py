"""A virtual board of a story: hands on its button, eyes on its light."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from sigap.problem import USAGE, Problem
from sigap.story.waiting import LIMIT_S, Clock, NotSeenError, wait_until
from simulator import observe
from simulator.world.presses import DOWN_MS, GAP_MS, Script, presses

WORDS = (*observe.WORDS, *observe.TEST_PATTERNS)
TELL_S = 3.0  # the longest that a light shines until its word can be told
REST_S = 0.3  # of the thumb, between two gestures: sooner, it would be chatter
HOLD_MS, AFTER_HOLD_MS = 10_200.0, 600.0  # a little longer than a button asks for, and a pause
LINES_SHOWN = 3


def owner_of(board: str) -> str:
    """Who a board of a story belongs to."""
    return f"Pemilik {board}"


class AnyBoard(ABC):
    """What boards of both kinds of time have. A new chapter begins with each gesture and when power comes.

    What the light says is told from the chapter's begin on: the gesture's third press, or its last one when it has
    fewer.
    """

    def __init__(self, name: str, clock: Clock) -> None:
        self.name, self._clock = name, clock
        self._chapter_ms = 0.0
        self._thumb_off_s = 0.0

    def __repr__(self) -> str:
        return f"<board {self.name}>"

    def press(self, times: int = 3) -> None:
        """Press the button so often, as a calm hand does; returns when the thumb is off. Three times mean SOS."""
        rest_s = max(0.0, self._thumb_off_s + REST_S - self._clock.now_s())
        if rest_s:
            self._clock.pass_s(rest_s)
        script = presses(times, DOWN_MS, GAP_MS)
        self._pass_over_lines()
        downs = self._play(script)
        self._begin_chapter(downs[min(times, 3) - 1])
        self._thumb_off_s = self._clock.now_s()

    def hold(self) -> None:
        """Hold the button for ten seconds: test mode, in which three presses are a test alarm."""
        self._pass_over_lines()
        downs = self._play([(0.0, 0), (HOLD_MS, 1), (HOLD_MS + AFTER_HOLD_MS, 1)])
        self._begin_chapter(downs[0])

    def shows(self, word: str, within_s: float = LIMIT_S) -> float:
        """Wait until the light says the word; seconds from the chapter's begin until it began to.

        word: "sending", "received", "acknowledged", "dispatched", or, in test mode, "test mode", "test sending",
        "test received". within_s: counts from the call, and is the light's own time: a word that began in time may be
        told up to 3 s later, when its pattern was whole. NotSeenError says what the light said instead.
        """
        __tracebackhide__ = True
        if word not in WORDS:
            raise Problem(f"the light knows no word {word!r}", f"It says {', '.join(WORDS)}", USAGE)
        until_ms = (self._clock.now_s() + within_s) * 1000
        what = f"{word!r} on the light of {self.name}"
        at = wait_until(self._clock, lambda: self._times(word).get(word), what, within_s, self.seen, tell_s=TELL_S)
        if at > until_ms:
            late_s = (at - until_ms) / 1000
            raise NotSeenError(f"{what} came {late_s:.1f} s later than within {within_s:g} s; {self.seen()}")
        return (at - self._chapter_ms) / 1000

    def said(self) -> list[str]:
        """Every word that the light has said in this chapter, in order."""
        return [word for word, _ in self._words()]

    def stays_dark(self, for_s: float = 2.0) -> None:
        """Wait so long; NotSeenError when light or buzzer were on since the chapter's begin: a silent one's promise."""
        __tracebackhide__ = True
        until_s = self._clock.now_s() + for_s
        while self._clock.now_s() < until_s:
            self._clock.pass_s(min(0.1, for_s))
        if not observe.quiet(self._entries()):
            raise NotSeenError(f"{self.name} did not stay dark; {self.seen()}")

    def seen(self) -> str:
        """One line on what the board did in this chapter: its light, its last lines."""
        told = [f"{word} (after {(at - self._chapter_ms) / 1000:.2f} s)" for word, at in self._words()]
        lines = " | ".join(self.console()[-LINES_SHOWN:]) or "nothing"
        return f"the light of {self.name} said {', '.join(told) or 'nothing'}, and it printed last: {lines}"

    @abstractmethod
    def prints(self, text: str, within_s: float = LIMIT_S) -> str:
        """Wait for the next line of the console that contains the text; the line.

        Lines before it are passed over; so are, when something is done to the board, those that it printed before.
        """

    @abstractmethod
    def console(self) -> list[str]:
        """The last lines that it printed, oldest first."""

    @abstractmethod
    def power(self, on: bool) -> None:
        """Cut the supply (RAM is lost, flash stays), or connect it, and wait until the firmware listens to presses."""

    @abstractmethod
    def wifi(self, on: bool) -> None:
        """Let the access point vanish, or come back."""

    @abstractmethod
    def sky(self, on: bool) -> None:
        """Cover the receiver, or let it see the sky. Problem for a board without a receiver."""

    @abstractmethod
    def _play(self, script: Script) -> list[float]:
        """Play it on the button; when the contact closed, each time (ms)."""

    @abstractmethod
    def _pass_over_lines(self) -> None:
        """Let `prints` begin with what comes from now on."""

    @abstractmethod
    def _entries(self) -> list[dict[str, Any]]:
        """The pins' log since the chapter's begin."""

    def _begin_chapter(self, at_ms: float) -> None:
        self._chapter_ms = at_ms

    def _times(self, word: str) -> dict[str, float]:
        entries = self._entries()
        patterns = observe.TEST_PATTERNS if word in observe.TEST_PATTERNS else observe.PATTERNS
        until = observe.said_by(entries, self._clock.now_s() * 1000)
        return observe.first(entries, self._chapter_ms, until, patterns)

    def _words(self) -> list[tuple[str, float]]:
        entries = self._entries()
        until = observe.said_by(entries, self._clock.now_s() * 1000)
        words = observe.words(entries, until=until, patterns=observe.EVERY_PATTERN)
        said = [(word, at) for word, at in words if at >= self._chapter_ms]
        if "sending" not in dict(said):  # its first flash may have been cut short by the receipt
            sending = observe.first(entries, self._chapter_ms, until).get("sending")
            said = said if sending is None else [("sending", sending), *said]
        return said
