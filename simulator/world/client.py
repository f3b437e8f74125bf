"""Talks to a running world.

`WorldClient` for commands and tests, `AsyncWorldClient` where an event loop runs.
"""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sigap.problem import Problem
from simulator.world.protocol import LINE_LIMIT_BYTES, VERSION, Message

RUN_DIR = Path("var/run")
EVENTS_LIMIT = 20_000  # kept for `event`, the newest


class WorldError(Problem):
    """The world refused; `error` is its slug (simulator/PROTOCOL.md)."""

    def __init__(self, answer: Message) -> None:
        self.error = str(answer.get("error", "closed"))
        todo = "`sigap board list` shows the boards" if self.error == "unknown-board" else ""
        super().__init__(str(answer.get("message", "the world went away")).rstrip("."), todo)


class WorldLateError(Problem, TimeoutError):
    """The world, or the event waited for, did not come in time."""

    def __init__(self) -> None:
        super().__init__("the world said nothing of it in time", "`sigap board list` shows how the boards are")


def find(run_dir: Path = RUN_DIR) -> tuple[int, str]:
    """(port, token) of the world whose world.json lies in `run_dir`. Raises Problem when there is none."""
    path = run_dir / "world.json"
    try:
        found = json.loads(path.read_text())
        return int(found["port"]), str(found["token"])
    except FileNotFoundError:
        raise Problem(
            f"no world is running ({path} is not there)", "Start one: `sigap run`, or `sigap world`"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Problem(f"{path} cannot be read ({error})", "Stop the world and start it again") from error


class WorldClient:
    """Blocking client.

    Raises WorldError when the world refuses, WorldLateError (a TimeoutError) when it is late, Problem when
    there is none.
    """

    def __init__(self, port: int, token: str, timeout_s: float = 30.0) -> None:
        self._ids = 0
        self._events: deque[Message] = deque(maxlen=EVENTS_LIMIT)
        self._rest = b""
        try:
            self._sock = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
        except OSError as error:
            raise Problem("no world is running any more", "Start one: `sigap run`, or `sigap world`") from error
        self._timeout_s, self._token = timeout_s, token
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._send({"hello": "control", "protocol": VERSION, "token": token})
        self.hello = self._read(time.monotonic() + timeout_s)
        if not self.hello.get("ok"):
            self.close()
            raise WorldError(self.hello)

    @classmethod
    def find(cls, run_dir: Path = RUN_DIR, timeout_s: float = 30.0) -> WorldClient:
        return cls(*find(run_dir), timeout_s=timeout_s)

    def __enter__(self) -> WorldClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._sock.close()

    def _send(self, message: Message) -> None:
        self._sock.sendall(json.dumps(message).encode() + b"\n")

    def _read(self, deadline: float) -> Message:
        while b"\n" not in self._rest:
            left = deadline - time.monotonic()
            if left <= 0:
                raise WorldLateError
            self._sock.settimeout(left)
            try:
                chunk = self._sock.recv(LINE_LIMIT_BYTES)
            except TimeoutError:
                raise WorldLateError from None
            except ConnectionError:
                chunk = b""
            if not chunk:
                raise WorldError({})
            self._rest += chunk
        line, self._rest = self._rest.split(b"\n", 1)
        return json.loads(line)

    def request(self, do: str, more_s: float = 0, **fields: Any) -> Message:
        """One request and its answer, in the client's limit and `more_s`; events wait for `event`."""
        self._ids += 1
        self._send({"do": do, "id": self._ids, **fields})
        deadline = time.monotonic() + self._timeout_s + more_s
        while True:
            message = self._read(deadline)
            if "event" in message:
                self._events.append(message)
            elif message.get("id") == self._ids:
                if not message.get("ok"):
                    raise WorldError(message)
                return message

    def boards(self) -> list[Message]:
        return self.request("list")["boards"]

    def press(self, board: str, presses: int = 3, **shape: Any) -> Message:
        """Press; returns when the thumb is off.

        shape: down_ms, gap_ms, bounce_ms, seed; or script=[[ms, level], ...].

        Answer: {"presses": [{"down_at", "up_at"}] (Unix ms), "edges": n, "heard": the board was on
        throughout}.
        """
        if "script" in shape:
            lasts_ms = shape["script"][-1][0] if shape["script"] else 0
        else:
            lasts_ms = presses * (shape.get("down_ms", 90) + shape.get("gap_ms", 210))
            shape["presses"] = presses
        return self.request("press", more_s=lasts_ms / 1000, board=board, **shape)

    def power(self, board: str, on: bool) -> Message:
        """Connect or cut the supply; a cut is complete when this returns."""
        return self.request("power", board=board, on=on)

    def reset(self, board: str) -> Message:
        return self.request("reset", board=board)

    def pins(self, board: str, since: int = 0) -> list[Message]:
        """The board's pin log after entry `since`, whole (see simulator.world.pinlog)."""
        found: list[Message] = []
        while True:
            answer = self.request("pins", board=board, since=since)
            found += answer["pins"]
            if not answer["more"]:
                return found
            since = found[-1]["seq"]

    def console(self, board: str) -> list[str]:
        """The last lines that the board printed."""
        return self.request("console", board=board)["lines"]

    def wifi(self, board: str, up: bool | None = None, **settings: Any) -> Message:
        return self.request("wifi", board=board, **settings, **({} if up is None else {"up": up}))

    def battery(self, board: str, battery_mv: int | None = None, usb: bool | None = None) -> Message:
        """Set the battery's voltage (0: taken out), plug USB in or out; None leaves it as it is."""
        changes = {"battery_mv": battery_mv, "usb": usb}
        return self.request(
            "battery", board=board, **{key: value for key, value in changes.items() if value is not None}
        )

    def gps(self, board: str, settings: dict[str, Any] | None) -> Message:
        """{"site": [lat, lon]}, {"track": [[s, lat, lon], ...]} or {"sky": False}; None unplugs it."""
        return self.request("gps", board=board, gps=settings)

    def flash(self, board: str, **faults: Any) -> Message:
        """What is wrong with the flash, from the next start on.

        worn: [first, last] block to which no write or erase comes through (EIO), None: none. tear: how many bytes that
        start programs before its power goes in the middle of a piece; it then starts again, with a flash that is whole.
        """
        return self.request("flash", board=board, **faults)

    def memory(self, board: str) -> Message:
        """Heap of the board in bytes: used, free, launcher, firmware."""
        return self.request("memory", board=board)

    def serial(self, board: str) -> str | None:
        """The path of the device of the board's serial port; None when it has none."""
        return self.request("serial", board=board)["device"]

    def settle(self, board: str) -> None:
        """Return when everything that the board did until now is in its pin log and its events."""
        self.memory(board)

    def stop(self) -> None:
        """End the world and its boards."""
        self.request("stop")

    def watch(self, board: str | None = None) -> None:
        """From now on `event` gives what happens (of one board, or of all)."""
        self.request("watch", board=board)

    def event(self, wanted: Callable[[Message], bool] = lambda _: True, timeout_s: float = 10.0) -> Message:
        """The next event for which `wanted` holds; others before it are dropped. Raises TimeoutError."""
        deadline = time.monotonic() + timeout_s
        while True:
            message = self._events.popleft() if self._events else self._read(deadline)
            if "event" in message and wanted(message):
                return message

    def wait_running(self, board: str, timeout_s: float = 15.0) -> Message:
        """Wait for the board's boot report; returns its summary. Raises Problem when it has given up."""
        with WorldClient(self._sock.getpeername()[1], self._token, self._timeout_s) as other:
            other.watch(board)
            deadline = time.monotonic() + timeout_s
            while True:
                state = next(one for one in other.boards() if one["name"] == board)
                if state["state"] == "running":
                    return state
                if state["state"] in ("failed", "off"):
                    raise Problem(
                        f"{board} is {state['state']}", f"`sigap board console {board}` shows what it printed"
                    )
                other.event(lambda e: e["event"] in ("boot", "gave-up", "power"), deadline - time.monotonic())


class AsyncWorldClient:
    """The same requests on an event loop: `await client.request("press", board="shop-1", presses=3)`.

    What happens after a "watch" comes in the queue `events`; `ended` is set when nothing more will come.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, hello: Message) -> None:
        self._reader, self._writer, self.hello = reader, writer, hello
        self._ids = 0
        self._waiting: dict[int, asyncio.Future[Message]] = {}
        self.events: asyncio.Queue[Message] = asyncio.Queue(EVENTS_LIMIT)
        self.ended = asyncio.Event()
        self._task = asyncio.create_task(self._listen())

    @classmethod
    async def connect(cls, port: int, token: str) -> AsyncWorldClient:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=LINE_LIMIT_BYTES)
        writer.write(json.dumps({"hello": "control", "protocol": VERSION, "token": token}).encode() + b"\n")
        hello = json.loads(await reader.readline() or b"{}")
        if not hello.get("ok"):
            writer.close()
            raise WorldError(hello)
        return cls(reader, writer, hello)

    async def _listen(self) -> None:
        try:
            while line := await self._reader.readline():
                message = json.loads(line)
                if "event" in message:
                    await self.events.put(message)
                elif future := self._waiting.pop(message.get("id"), None):
                    future.set_result(message)
        finally:
            self.ended.set()
            for future in self._waiting.values():
                if not future.done():
                    future.set_result({"error": "closed"})

    async def request(self, do: str, **fields: Any) -> Message:
        if self.ended.is_set():
            raise WorldError({})
        self._ids += 1
        future = self._waiting[self._ids] = asyncio.get_running_loop().create_future()
        self._writer.write(json.dumps({"do": do, "id": self._ids, **fields}).encode() + b"\n")
        await self._writer.drain()
        answer = await future
        if not answer.get("ok"):
            raise WorldError(answer)
        return answer

    async def event(self, wanted: Callable[[Message], bool] = lambda _: True, timeout_s: float = 10.0) -> Message:
        """The next event for which `wanted` holds; others before it are dropped. Raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while True:
                if wanted(message := await self.events.get()):
                    return message

    async def close(self) -> None:
        self._task.cancel()
        self._writer.close()
        await asyncio.gather(self._task, return_exceptions=True)
