"""Talks to a running fault proxy; blocking, for commands and tests."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from sigap.problem import Problem
from simulator.faults.control import NAME
from simulator.world.protocol import Message

TODO = "Start one: `sigap run --faults`, or `sigap fault proxy`"


class FaultClient:
    """One connection to the proxy. Raises Problem when it refuses, or is not there."""

    def __init__(self, port: int, token: str, timeout_s: float = 10.0) -> None:
        try:
            self._sock = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
        except OSError as error:
            raise Problem("no fault proxy is running any more", TODO) from error
        self._lines = self._sock.makefile("rb")
        self._ask({"hello": "control", "token": token})

    @classmethod
    def find(cls, run_dir: Path) -> FaultClient:
        """The proxy whose faults.json lies in `run_dir`."""
        path = run_dir / NAME
        try:
            found = json.loads(path.read_text())
            return cls(int(found["port"]), str(found["token"]))
        except FileNotFoundError:
            raise Problem(f"no fault proxy is running ({path} is not there)", TODO) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Problem(f"{path} cannot be read ({error})", "Stop the proxy and start it again") from error

    def __enter__(self) -> FaultClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._lines.close()
        self._sock.close()

    def _ask(self, message: Message) -> Message:
        try:
            self._sock.sendall(json.dumps(message).encode() + b"\n")
            line = self._lines.readline()
        except OSError as error:
            raise Problem(f"the fault proxy does not answer ({error})", "Stop it and start it again") from error
        answer: Message = json.loads(line) if line else {"ok": False, "message": "the fault proxy went away"}
        if not answer.get("ok"):
            todo = answer.get("todo", "`sigap fault list` shows the links")
            raise Problem(str(answer.get("message")).rstrip("."), todo)
        return answer

    def links(self, link: str = "*") -> list[Message]:
        """[{"name", "port", "to", "faults", "connections", "dead", "accepted", "resets", "up", "down", "held"}].

        up, down: bytes that went through; held: bytes that wait in the proxy. link: a name, or a pattern: board:*.
        """
        return self._ask({"do": "list", "link": link})["links"]

    def set(self, link: str, for_s: float | None = None, **faults: Any) -> None:
        """Change faults (see Faults.changed), on top of those there are; after `for_s` the link is clear again.

        For one way only: set("police", **{"up.delay_ms": 200}).
        """
        self._ask({"do": "set", "link": link, "faults": faults, "for_s": for_s})

    def clear(self, link: str = "*") -> None:
        """Nothing is wrong with the link any more."""
        self._ask({"do": "clear", "link": link})

    def reset(self, link: str = "*") -> int:
        """A RST to both sides of every connection, now. Returns how many there were."""
        return self._ask({"do": "reset", "link": link})["connections"]
