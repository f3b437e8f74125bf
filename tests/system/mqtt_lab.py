"""For tests: our MQTT client as a process under either interpreter, and a server that misbehaves on order."""

from __future__ import annotations

import contextlib
import queue
import socket
import struct
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from tests.system.gateway_lab import Broker, wait_until

FIRMWARE = Path(__file__).parents[2] / "firmware"
INTERPRETERS = {"cpython": [sys.executable, "-u"], "micropython": [str(Path(sys.executable).with_name("micropython"))]}
LIMIT_S = 15.0
CONNACK = b"\x20\x02\x00\x00"

PRELUDE = """
import asyncio, sys
sys.path.insert(0, {firmware!r})
from mqtt.client import Client, MQTTTimeout
from mqtt.codec import MQTTError

def say(line):
    print(line)
    if hasattr(sys.stdout, "flush"):
        sys.stdout.flush()

def client(**more):
    settings = dict(username="dev", password="secret", timeout_ms=600, log=say, wait_min_ms=100, wait_max_ms=400)
    settings.update(more)
    return Client("127.0.0.1", {port}, "dev", **settings)

async def up(one):
    await asyncio.wait_for(one.up.wait(), 10)

async def main():
{body}

asyncio.run(main())
"""

PUBLISH_AND_TELL = """
one = client()
asyncio.create_task(one.run())
await up(one)
say("up")
for number in range(40):
    await one.publish("t", str(number), timeout_ms=12000)
    say("acknowledged %d" % number)
    await asyncio.sleep(0.05)
say("all")
"""


@pytest.fixture(params=INTERPRETERS)
def interpreter(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path)
    yield broker
    broker.kill()


@contextlib.contextmanager
def listener(port: int, topic: str) -> Iterator[list[tuple[str, bytes]]]:
    """Another client that hears a topic."""
    heard: list[tuple[str, bytes]] = []
    other = mqtt.Client(CallbackAPIVersion.VERSION2)
    ready: list[bool] = []
    other.on_connect = lambda *_: other.subscribe(topic, 1)
    other.on_subscribe = lambda *_: ready.append(True)
    other.on_message = lambda _c, _d, message: heard.append((message.topic, message.payload))
    other.connect("127.0.0.1", port)
    other.loop_start()
    wait_until(lambda: ready, "the subscription")
    try:
        yield heard
    finally:
        other.disconnect()
        other.loop_stop()


class Node:
    """A script that uses the client. `line(words)` waits for a line that has them."""

    def __init__(self, interpreter: str, port: int, body: str, folder: Path, before: Sequence[str]) -> None:
        script = folder / f"{interpreter}.py"
        program = PRELUDE.format(
            firmware=str(FIRMWARE), port=port, body=textwrap.indent(textwrap.dedent(body).strip(), "    ")
        )
        script.write_text(program)
        self.lines: list[str] = []
        self._queue: queue.Queue[str | None] = queue.Queue()
        self.process = subprocess.Popen(
            [*before, *INTERPRETERS[interpreter], str(script)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self._queue.put(line.rstrip())
        self._queue.put(None)

    def line(self, words: str, limit_s: float = LIMIT_S) -> str:
        while True:
            try:
                line = self._queue.get(timeout=limit_s)
            except queue.Empty:
                raise AssertionError(f"never said {words!r}: {self.lines}") from None
            assert line is not None, f"ended without saying {words!r}: {self.lines}"
            self.lines.append(line)
            if words in line:
                return line

    def end(self) -> int:
        return self.process.wait(LIMIT_S)


@contextlib.contextmanager
def node(interpreter: str, port: int, body: str, folder: Path, before: Sequence[str] = ()) -> Iterator[Node]:
    """Runs the body of an async function, by the command `before`; the process is gone at the end."""
    one = Node(interpreter, port, body, folder, before)
    try:
        yield one
    finally:
        one.process.kill()
        one.process.wait()


class Server:
    """A listening socket and the bytes of MQTT by hand: whatever a broker ought not to do."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(LIMIT_S)
        self.port = self._listener.getsockname()[1]

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def accept(self, limit_s: float = LIMIT_S) -> tuple[socket.socket, object]:
        """The next connection; TimeoutError when none comes."""
        self._listener.settimeout(limit_s)
        return self._listener.accept()

    @contextlib.contextmanager
    def connection(self, answer: bytes = CONNACK) -> Iterator[Peer]:
        """The next client that connects; its CONNECT was read and answered."""
        sock, _ = self.accept()
        with sock:
            sock.settimeout(LIMIT_S)
            peer = Peer(sock)
            assert peer.packet()[0] == 0x10
            sock.sendall(answer)
            yield peer


class Peer:
    """One client at the server."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def packet(self) -> bytes:
        """The next whole packet; b"" when the client has closed."""
        head = self._exactly(2)
        return head + self._exactly(head[1]) if head else b""  # those of these tests are short

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            try:
                piece = self.sock.recv(count - len(data))
            except ConnectionResetError:
                piece = b""
            if not piece:
                return b""
            data += piece
        return data


class Line:
    """A TCP proxy in front of a broker, whose every way can be held, let go, or reset.

    hold_up, hold_down: what comes is kept until released, as on a line that is half open. drop_down: it is lost.
    """

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.hold_up = self.hold_down = self.drop_down = False
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self.reset()

    def reset(self) -> None:
        """A RST to the client on every connection."""
        for near, far in self._pairs:
            with contextlib.suppress(OSError):
                near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            near.close()
            with contextlib.suppress(OSError):
                far.shutdown(socket.SHUT_RDWR)
        self._pairs.clear()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._to_port))
            except OSError:
                return
            self._pairs.append((near, far))
            for source, target, way in ((near, far, "up"), (far, near, "down")):
                threading.Thread(target=self._pump, args=(source, target, way), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, way: str) -> None:
        source.settimeout(0.02)  # so that a RST finds nobody inside recv, which would keep the socket open
        with contextlib.suppress(OSError):
            while True:
                try:
                    data = source.recv(4096)
                except TimeoutError:
                    continue
                if not data:
                    break
                while getattr(self, f"hold_{way}"):
                    time.sleep(0.01)
                if not (way == "down" and self.drop_down):
                    target.sendall(data)
            target.shutdown(socket.SHUT_WR)
