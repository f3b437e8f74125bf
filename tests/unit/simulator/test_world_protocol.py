"""The world's listener against peers that are wrong: it says why, and goes on for the others."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from simulator.testing import small_firmware
from simulator.world.client import AsyncWorldClient, WorldError
from simulator.world.protocol import VERSION
from simulator.world.settings import BoardSettings, WorldSettings
from simulator.world.world import World


class Peer:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    def send(self, line: object) -> None:
        text = line if isinstance(line, bytes) else json.dumps(line).encode()
        self._writer.write(text + b"\n")

    async def read(self) -> dict[str, Any] | None:
        line = await asyncio.wait_for(self._reader.readline(), 5)
        return json.loads(line) if line else None

    async def ask(self, line: object) -> dict[str, Any] | None:
        self.send(line)
        return await self.read()


@asynccontextmanager
async def world_with_peer(folder: Path) -> AsyncIterator[tuple[World, Peer]]:
    firmware = small_firmware(folder / "firmware", "")
    board = BoardSettings(name="b", image=folder / "b.img", on=False)
    async with World(WorldSettings([board], firmware)) as world:
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        yield world, Peer(reader, writer)
        writer.close()


def play(folder: Path, scene: Callable[[World, Peer], Awaitable[None]]) -> None:
    async def run() -> None:
        async with world_with_peer(folder) as (world, peer):
            await scene(world, peer)
            client = await AsyncWorldClient.connect(world.port, world.token)
            assert [b["name"] for b in (await client.request("list"))["boards"]] == ["b"], "the world goes on"
            await client.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("hello", "error"),
    [
        (b"GET / HTTP/1.1", "bad-json"),
        (b"\xff\xfe\x00", "bad-json"),
        (b"[1, 2]", "bad-json"),
        (b"[" * 50_000, "bad-json"),
        ({"hello": "control", "name": None, "token": "0" * 32}, "wrong-token"),
        ({"hello": "control"}, "wrong-token"),
        ({"hello": "control", "token": 5}, "wrong-token"),
        (b'{"x":"' + b"x" * 70_000 + b'"}', "too-long"),
    ],
)
def test_who_is_not_let_in(tmp_path: Path, hello: object, error: str) -> None:
    async def scene(world: World, peer: Peer) -> None:
        answer = await peer.ask(hello)
        assert answer
        assert (answer["ok"], answer["error"]) == (False, error)
        assert answer["message"]
        assert await peer.read() is None, "closed"

    play(tmp_path, scene)


@pytest.mark.parametrize(
    ("hello", "error"),
    [
        ({"hello": "control", "protocol": VERSION + 1}, "wrong-protocol"),
        ({"hello": "control", "protocol": None}, "wrong-protocol"),
        ({"hello": "cat"}, "bad-hello"),
        ({"hello": "board", "name": "nobody", "run": 1}, "unknown-board"),
        ({"hello": "board", "name": "b", "run": 1}, "stale-board"),
    ],
)
def test_who_knows_the_token_but_is_not_expected(tmp_path: Path, hello: dict[str, Any], error: str) -> None:
    async def scene(world: World, peer: Peer) -> None:
        answer = await peer.ask({"protocol": VERSION, **hello, "token": world.token})
        assert answer
        assert answer["error"] == error
        assert await peer.read() is None

    play(tmp_path, scene)


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (b"rubbish", "bad-json"),
        ({}, "unknown-request"),
        ({"do": "explode"}, "unknown-request"),
        ({"do": "press"}, "unknown-board"),
        ({"do": "press", "board": "B"}, "unknown-board"),
        ({"do": "press", "board": ["b"]}, "unknown-board"),
        ({"do": "press", "board": "b", "presses": "three"}, "bad-request"),
        ({"do": "press", "board": "b", "presses": 0}, "bad-request"),
        ({"do": "press", "board": "b", "script": []}, "bad-request"),
        ({"do": "press", "board": "b", "script": [[0, 2]]}, "bad-request"),
        ({"do": "press", "board": "b", "script": [[9, 0], [1, 1]]}, "bad-request"),
        ({"do": "press", "board": "b", "script": [["x", 0]]}, "bad-request"),
        ({"do": "press", "board": "b", "script": [[1e9, 0]]}, "bad-request"),
        ({"do": "power", "board": "b"}, "bad-request"),
        ({"do": "power", "board": "b", "on": 1}, "bad-request"),
        ({"do": "pin", "board": "b", "pin": 27, "value": 7}, "bad-request"),
        ({"do": "gps", "board": "b", "gps": "here"}, "bad-request"),
        ({"do": "reset", "board": "b"}, "board-off"),
        ({"do": "memory", "board": "b"}, "board-off"),
    ],
)
def test_requests_that_are_refused(tmp_path: Path, request_: object, error: str) -> None:
    async def scene(world: World, peer: Peer) -> None:
        await peer.ask({"hello": "control", "protocol": VERSION, "token": world.token})
        numbered = {**request_, "id": 7} if isinstance(request_, dict) else request_
        answer = await peer.ask(numbered)
        assert answer
        assert (answer["ok"], answer["error"]) == (False, error)
        assert answer["message"]
        assert answer.get("id") == (7 if isinstance(request_, dict) else None)
        listed = await peer.ask({"do": "list", "id": 8})
        assert listed
        assert (listed["ok"], listed["id"]) == (True, 8), "the connection goes on"

    play(tmp_path, scene)


def test_a_line_without_end_ends_the_connection(tmp_path: Path) -> None:
    async def scene(world: World, peer: Peer) -> None:
        await peer.ask({"hello": "control", "protocol": VERSION, "token": world.token})
        answer = await peer.ask(b"x" * 70_000)
        assert answer
        assert answer["error"] == "too-long"
        assert await peer.read() is None

    play(tmp_path, scene)


def test_a_long_press_delays_no_other_answer(tmp_path: Path) -> None:
    async def scene(world: World, peer: Peer) -> None:
        await peer.ask({"hello": "control", "protocol": VERSION, "token": world.token})
        peer.send({"do": "press", "board": "b", "presses": 1, "down_ms": 300, "id": 1})
        listed = await peer.ask({"do": "list", "id": 2})
        assert listed
        assert listed["id"] == 2
        pressed = await peer.read()
        assert pressed
        assert (pressed["id"], pressed["heard"], pressed["edges"]) == (1, False, 2), "the board was off"

    play(tmp_path, scene)


def test_pages_of_the_pin_log(tmp_path: Path) -> None:
    async def run() -> None:
        async with world_with_peer(tmp_path) as (world, _):
            for n in range(1000):
                world.boards["b"].set_pin(27, n % 2)
            client = await AsyncWorldClient.connect(world.port, world.token)
            first = await client.request("pins", board="b")
            assert (len(first["pins"]), first["more"]) == (400, True)
            last = await client.request("pins", board="b", since=990)
            assert ([p["seq"] for p in last["pins"]], last["more"]) == (list(range(991, 1001)), False)
            with pytest.raises(WorldError) as refused:
                await client.request("pins", board="c")
            assert refused.value.error == "unknown-board"
            await client.close()

    asyncio.run(run())
