"""A million bytes of noise and spoiled packets through the decoder, under the real MicroPython.

Nothing but MQTTError comes out, and the heap is what it was.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
BYTES = 1_000_000

FUZZ = """
import gc, random, sys
sys.path[:] = [sys.argv[1], ".frozen"]
from mqtt import codec
from mqtt.codec import Decoder, MQTTError

LIMIT = int(sys.argv[2])
random.seed(20260101)
good = (
    bytes(codec.encode_publish("sigap/v1/d/0000a1b2/down", b"x" * 40, 1, packet_id=7)),
    bytes(codec.encode_publish("t", b"", 0)),
    b"\\x20\\x02\\x00\\x00", b"\\x90\\x03\\x00\\x01\\x01", b"\\x40\\x02\\x00\\x09",
    b"\\xd0\\x00", b"\\x62\\x02\\x00\\x01",
)
fed = packets = refused = 0
decoder = Decoder(256)
reasons = set()

def piece():
    kind = random.getrandbits(2)
    if kind == 0:
        return bytes([random.getrandbits(8) for _ in range(random.getrandbits(6))])
    data = bytearray(good[random.getrandbits(8) % len(good)])
    if kind == 1:
        data[random.getrandbits(8) % len(data)] ^= 1 << random.getrandbits(3)
    return data[random.getrandbits(2) :] if kind == 2 else data

def turn():
    global decoder, fed, packets, refused
    data = piece()
    fed += len(data)
    try:
        decoder.feed(data)
        for packet in decoder:
            packets += 1
    except MQTTError as error:
        refused += 1
        reasons.add(error.reason)
        decoder = Decoder(256)

def used():
    gc.collect()
    return gc.mem_alloc()

while fed < LIMIT // 10:
    turn()
decoder = Decoder(256)
before = used()
most = 0
while fed < LIMIT:
    for _ in range(5000):
        turn()
    most = max(most, used() - before)
print(fed, packets, refused, most, *sorted(reasons))
"""


def test_a_million_bytes(tmp_path: Path) -> None:
    script = tmp_path / "fuzz.py"
    script.write_text(FUZZ)
    micropython = Path(sys.executable).with_name("micropython")
    command = [micropython, "-X", "heapsize=140k", script, ROOT / "firmware", BYTES]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    fed, packets, refused, growth, *reasons = done.stdout.split()
    print(done.stdout)
    assert int(fed) >= BYTES
    assert int(packets) > 1000
    assert int(refused) > 1000
    assert int(growth) <= 1024  # what a decoder holds, at most; nothing else
    assert {"bad-type", "bad-flags", "bad-body", "bad-length", "too-big"} <= set(reasons)
