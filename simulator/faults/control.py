"""The fault proxy's process: every link of a Sigap, and those who may change what is wrong with them.

The language is the world's (simulator/PROTOCOL.md): JSON lines on the loopback interface, first a hello with the token
that lies in faults.json, then requests with "do" and one answer each.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import os
import secrets
import signal
from collections.abc import Awaitable, Callable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from sigap.problem import USAGE, Problem
from simulator.faults.proxy import Proxy
from simulator.world import protocol
from simulator.world.protocol import Message, ProtocolError

NAME = "faults.json"
PEERS_LIMIT = 50
HELLO_LIMIT_S = 10.0


class Control:
    """One listener for all links. Use `serve` as the handler of asyncio.start_server."""

    def __init__(self, links: dict[str, Proxy]) -> None:
        self.token = secrets.token_hex(16)
        self._links = links
        self._peers = 0
        self._actions: dict[str, Callable[[Message], Awaitable[Message]]] = {
            "list": self._list,
            "set": self._set,
            "clear": self._clear,
            "reset": self._reset,
        }

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._peers += 1
        try:
            async with asyncio.timeout(HELLO_LIMIT_S):
                hello = await protocol.read_message(reader)
            if hello is not None:
                self._welcome(hello)
                await _say(writer, {"ok": True, "links": list(self._links)})
                while (request := await protocol.read_message(reader)) is not None:
                    await _say(writer, await self._answer(request))
        except ProtocolError as error:
            await _say(writer, protocol.refusal(error))
        except (TimeoutError, ConnectionError):
            return  # it has gone, or never said anything
        finally:
            self._peers -= 1
            writer.close()

    def _welcome(self, hello: Message) -> None:
        if not hmac.compare_digest(str(hello.get("token", "")).encode(), self.token.encode()):
            raise ProtocolError("wrong-token", "the token is not this proxy's", fatal=True)
        if self._peers > PEERS_LIMIT:
            raise ProtocolError("too-many", f"a fault proxy talks to {PEERS_LIMIT} peers at most", fatal=True)

    async def _answer(self, request: Message) -> Message:
        try:
            action = self._actions.get(str(request.get("do")))
            if action is None:
                raise ProtocolError("unknown-request", f"do is one of {', '.join(self._actions)}")
            answer = {"ok": True, **await action(request)}
        except ProtocolError as error:
            answer = protocol.refusal(error)
        except Problem as problem:
            answer = protocol.refusal(ProtocolError("bad-request", problem.what)) | {"todo": problem.todo}
        return answer | ({"id": request["id"]} if "id" in request else {})

    def _named(self, request: Message) -> list[Proxy]:
        """Those whose name is `link`, which may be a pattern: board:*."""
        pattern = str(request.get("link", "*"))
        found = [link for name, link in self._links.items() if fnmatchcase(name, pattern)]
        if not found:
            raise ProtocolError("unknown-link", f"no link is named {pattern!r}; there are {', '.join(self._links)}")
        return found

    async def _list(self, request: Message) -> Message:
        return {"links": [link.told() for link in self._named(request)]}

    async def _set(self, request: Message) -> Message:
        changes, for_s = request.get("faults"), request.get("for_s")
        if not isinstance(changes, dict):
            raise ProtocolError("bad-request", 'faults is an object, such as {"delay_ms": 200}')
        if for_s is not None and (isinstance(for_s, bool) or not isinstance(for_s, int | float)):
            raise ProtocolError("bad-request", "for_s is a number of seconds")
        links = self._named(request)
        for link in links:
            await link.set(changes, for_s)
        return {"links": [link.name for link in links]}

    async def _clear(self, request: Message) -> Message:
        links = self._named(request)
        for link in links:
            await link.clear()
        return {"links": [link.name for link in links]}

    async def _reset(self, request: Message) -> Message:
        return {"connections": sum(link.reset() for link in self._named(request))}


async def _say(writer: asyncio.StreamWriter, message: Message) -> None:
    with contextlib.suppress(ConnectionError):
        writer.write(protocol.encode(message))
        await writer.drain()


def load(path: Path, seed: int) -> list[Proxy]:
    """The links of a links file: {"links": [{"name", "port", "to"}]}; ports of the loopback interface."""
    try:
        rows: list[dict[str, Any]] = json.loads(path.read_text())["links"]
        return [Proxy(str(row["name"]), ("127.0.0.1", int(row["to"])), int(row["port"]), seed) for row in rows]
    except OSError as error:
        raise Problem(
            f"cannot read the links file {path} ({error.strerror})", "Name one with --links", USAGE
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        todo = 'It is {"links": [{"name": "gateway:broker", "port": 18884, "to": 18883}]}'
        raise Problem(f"the links file {path} cannot be read ({error!r})", todo, USAGE) from error


async def run(links_file: Path, run_dir: Path, seed: int) -> None:
    """Carry every link until SIGINT or SIGTERM. Prints one JSON line on stdout when all listen."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        links = {link.name: await stack.enter_async_context(link) for link in load(links_file, seed)}
        control = Control(links)
        server = await asyncio.start_server(control.serve, "127.0.0.1", 0, limit=protocol.LINE_LIMIT_BYTES)
        port = server.sockets[0].getsockname()[1]
        path, part = run_dir / NAME, run_dir / f"{NAME}.part"
        part.unlink(missing_ok=True)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            json.dump({"port": port, "token": control.token, "pid": os.getpid()}, out)
        os.replace(part, path)
        try:
            ports = {name: link.port for name, link in links.items()}
            print(json.dumps({"ready": True, "port": port, "pid": os.getpid(), "links": ports}), flush=True)
            await stop.wait()
        finally:
            path.unlink(missing_ok=True)
            server.close()
