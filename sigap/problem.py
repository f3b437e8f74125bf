"""The one way Sigap tells a person that something is wrong: what, and what to do about it."""

from __future__ import annotations

from typing import NoReturn

FAILED = 1  # what was asked did not hold
USAGE = 2  # wrong use
MISSING = 3  # a part is missing, and its name is said


class Problem(Exception):
    """A condition that the user can act on; printed as one line, never as a traceback.

    what: what happened and where, without a full stop. todo: what to try, an imperative sentence without a full stop.
    """

    def __init__(self, what: str, todo: str = "", exit_code: int = FAILED) -> None:
        self.what, self.todo, self.exit_code = what, todo, exit_code
        super().__init__(f"{what}. {todo}." if todo else f"{what}.")


def missing(part: str, todo: str) -> NoReturn:
    """Raise the Problem for a part that this machine lacks (exit code 3)."""
    raise Problem(f"{part} is missing", todo, MISSING)
