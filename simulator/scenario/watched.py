"""What checkers and expectations can see of a story, in either kind of time.

Times are microseconds since the world's start. `simulator.scenario.stage.Stage` is it in virtual time,
`sigap.realtime.stage.RealStage` in realtime.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from simulator import observe


@dataclass(frozen=True)
class Gesture:
    """A third press as a hand made it. at_us: when the contact closed; began_us: the first of the three."""

    button: str
    began_us: int
    at_us: int


class Records(Protocol):
    """What the gateway has on disk. Incidents are numbers, in the order in which they were met."""

    def alarms(self) -> list[dict[str, Any]]:
        """[{"device", "activation", "incident", "test", "state", "pressed_us", "received_us", "position"}]."""
        ...

    def devices(self) -> dict[str, dict[str, Any]]:
        """{button: {"online"}}."""
        ...

    def counts(self) -> dict[str, int]:
        """What the gateway counts, by name."""
        ...

    def upkeep(self, name: str) -> dict[str, Any]:
        """Of a button: {"troubles", "had", "commands", "crashes"}, the oldest first."""
        ...


class Told(Protocol):
    """Something that was told. to: "police" or "relative"."""

    @property
    def to(self) -> str: ...
    @property
    def incident(self) -> int: ...


class Watched(Protocol):
    """A story that runs, or has just ended."""

    @property
    def scenario(self) -> Any: ...
    @property
    def now_us(self) -> int: ...
    @property
    def buttons(self) -> list[str]: ...
    @property
    def store(self) -> Records: ...

    def who(self, pattern: str) -> list[str]:
        """The buttons that a `who` names, in order."""
        ...

    def device(self, button: str) -> str:
        """Its eight hex digits."""
        ...

    def key(self, button: str) -> bytes:
        """Its root key."""
        ...

    def gestures(self) -> list[Gesture]:
        """Every third press so far, button by button."""
        ...

    def said(self, button: str) -> list[observe.Said]:
        """What its light has said, in order."""
        ...

    def pins(self, button: str) -> list[dict[str, Any]]:
        """Its pins' log."""
        ...

    def journal(self, button: str) -> list[str]:
        """The names in its journal, as its flash holds them; it is without power."""
        ...

    def journal_at_end(self, button: str) -> list[str]:
        """The same when the run is over."""
        ...

    def is_worn(self, button: str) -> bool:
        """A block of its flash takes nothing any more."""
        ...

    def serves(self) -> bool:
        """Broker and gateway do their work now."""
        ...

    def has_way(self, button: str) -> bool:
        """Nothing is wrong now between this button and the gateway's store."""
        ...

    def queues(self) -> list[tuple[str, int, int]]:
        """(where, the most that waited there, its bound) of each queue that can be seen."""
        ...

    def told(self) -> Sequence[tuple[int, Told]]:
        """(when, what) was told to police and relatives."""
        ...

    def at(self, at_us: int, do: Callable[[], None]) -> None:
        """Do this then, if the story is not over."""
        ...
