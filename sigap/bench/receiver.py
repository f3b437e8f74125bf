"""Where receipts arrive: a thread that notes the time of each frame, and thinks about it later."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from typing import IO

from sigap.bench import wire

ALL_DOWN = "sigap/v1/d/+/down"

Arrived = list[tuple[int, bytes]]  # (time.monotonic_ns, payload)


class Receiver:
    """Subscribed to what goes to every device. `arrived` may be read at any time, and is never emptied here."""

    def __init__(self, port: int) -> None:
        self.arrived: Arrived = []
        self._socket = wire.connect(port, "bench-receiver")
        wire.subscribe(self._socket, ALL_DOWN)
        self._socket.settimeout(None)
        threading.Thread(target=self._run, name="bench-receiver", daemon=True).start()

    def _run(self) -> None:
        reader = wire.Reader()
        while data := self._receive():
            now, pubacks = time.monotonic_ns(), []
            for first, body in reader.packets(data):
                if first & 0xF0 == wire.PUBLISH:
                    payload, puback = wire.payload_of(first, body)
                    self.arrived.append((now, payload))
                    if puback is not None:
                        pubacks.append(puback)
            if pubacks:
                self._socket.sendall(b"".join(pubacks))

    def _receive(self) -> bytes:
        try:
            return self._socket.recv(1 << 18)
        except OSError:  # close() below
            return b""

    def close(self) -> None:
        with contextlib.suppress(OSError):  # the broker may be gone
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


class Lines:
    """The same for a peer that prints each alarm's frame in hex, one a line (mosquitto_sub -F %x)."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self.arrived: Arrived = []
        self._pipe = pipe
        threading.Thread(target=self._run, name="bench-lines", daemon=True).start()

    def _run(self) -> None:
        rest = b""
        while data := os.read(self._pipe.fileno(), 1 << 18):
            now = time.monotonic_ns()
            *lines, rest = (rest + data).split(b"\n")
            self.arrived.extend((now, bytes.fromhex(line.decode())) for line in lines)

    def close(self) -> None:
        """The pipe ends with its process."""
