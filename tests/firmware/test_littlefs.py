"""A whole alarm on MicroPython's real LittleFS, with the power cut at every byte the chip programs; and what it wears.

Under CPython there is no VfsLfs2: there the same promises are tested byte by byte in test_journal.py and
test_counter.py, and this file only checks panic.files on the host's filesystem.
"""

import os
import sys

from flash_double import Chance, quiet
from test_alarm import DEVICE, ROOT, BoardDouble, settings, status

from panic.device import Device
from panic.files import Files
from panic.journal import Journal
from panic_wire.frames import ACCEPTED, ACKNOWLEDGED, CLOSED, DISPATCHED, RECEIPT
from panic_wire.keys import uplink_key
from panic_wire.seal import open_frame

MICROPYTHON = sys.implementation.name == "micropython"
HERE = (-70000000, 1104000000, 12, 1)  # as a record holds it, pressed a second after the fix
PLACE = "/flash-test"


class Chip:
    """A block device in RAM that stops programming, in the middle of a write, after `budget` bytes."""

    BLOCK = 4096

    def __init__(self, data=None, budget=None):
        self.data = bytearray(data) if data else bytearray(b"\xff" * self.BLOCK * 8)
        self.budget = budget
        self.programmed = 0
        self.erased = 0

    def readblocks(self, number, buffer, offset=0):
        start = number * self.BLOCK + offset
        for i in range(len(buffer)):
            buffer[i] = self.data[start + i]

    def writeblocks(self, number, buffer, offset=0):
        start = number * self.BLOCK + offset
        for i in range(len(buffer)):
            if self.is_dead():
                return -5  # EIO from here on: the chip has no power, so nothing reaches it any more
            self.data[start + i] = buffer[i]
            self.programmed += 1
        return 0

    def is_dead(self):
        return self.budget is not None and self.programmed >= self.budget

    def ioctl(self, op, argument):
        if op == 4:
            return len(self.data) // self.BLOCK
        if op == 5:
            return self.BLOCK
        if op == 6:
            if self.is_dead():
                return -5
            self.erased += 1
            start = argument * self.BLOCK
            for i in range(self.BLOCK):
                self.data[start + i] = 0xFF
        return 0


def mounted(chip, job):
    """job(Files) with the chip's filesystem mounted; the OSError of a cut is the end of that life."""
    import vfs

    vfs.mount(vfs.VfsLfs2(chip), PLACE)
    try:
        return job(Files(PLACE))
    except OSError:
        return None
    finally:
        vfs.umount(PLACE)


FIX = ("GGA", True, HERE[0], HERE[1], 24, False)


class Seen:
    """What people and gateway know of a board over its lives."""

    def __init__(self, other=None):
        self.frames = set(other.frames) if other else set()  # (epoch, counter)
        self.activations = set(other.activations) if other else set()
        self.shown = None  # the alarm that the light says is being sent
        self.receipted = self.closing = False


def life(chip, seed, seen):
    """From power-up through one alarm, from press to closed, as far as the supply lasts."""

    def job(files):
        device = Device(settings(), files, 0, quiet, Chance(seed))
        device.came_up()
        device.position.take(FIX, 0)
        alarm = device.activate(1000, 1000)
        if chip.is_dead():
            return  # what the code does after the cut never happened
        assert alarm.activation not in seen.activations, alarm.activation
        seen.activations.add(alarm.activation)
        seen.shown = alarm.activation
        frame = device.alarm_frame(alarm, 1000)
        if chip.is_dead():
            return
        header, _ = open_frame(uplink_key(ROOT, DEVICE), frame)
        key = (header.epoch, header.counter)
        assert key not in seen.frames, "a counter came back"
        seen.frames.add(key)
        for stage in (RECEIPT, ACCEPTED, ACKNOWLEDGED, DISPATCHED, CLOSED):
            # Counted as of before: a cut may fall anywhere in what follows.
            seen.receipted = True
            seen.closing = stage == CLOSED
            device.take_frame(status(header, alarm.activation, stage), 2000)
            if chip.is_dead():
                return

    return job


def new_chip():
    import vfs

    chip = Chip()
    vfs.VfsLfs2.mkfs(chip)
    return chip


def check_cuts():
    """An alarm is open already, a second one lives from press to closed; the power goes at each byte of that."""
    start = new_chip()
    before = Seen()
    mounted(start, lambda files: Device(settings(), files, 0, quiet, Chance(1)).activate(0, 0) and None)
    whole = Chip(start.data)
    mounted(whole, life(whole, 2, Seen(before)))
    cuts = whole.programmed
    assert cuts > 300, cuts
    for budget in range(cuts):
        chip = Chip(start.data, budget)
        seen = Seen(before)
        mounted(chip, life(chip, 2, seen))
        chip = Chip(chip.data)
        held = mounted(chip, lambda files: Journal(files, quiet))
        assert held is not None, "no start after a cut at byte %d" % budget
        assert len(held.unreceipted) >= 1, "the first alarm is lost at byte %d" % budget
        if seen.shown and not seen.closing:
            assert seen.shown in held.unreceipted + held.receipted, "shown as sent, and lost at byte %d" % budget
            assert mounted(chip, lambda files, seen=seen: Journal(files, quiet).read(seen.shown)[1]) == HERE
        if seen.shown and not seen.receipted:
            assert seen.shown in held.unreceipted, "nobody receipted it: byte %d" % budget
        # The next life: its numbers are all new, and it resumes.
        seen.activations.update(held.unreceipted + held.receipted)
        mounted(chip, life(chip, 3, seen))
    return cuts


if MICROPYTHON:

    def test_cut_at_every_programmed_byte_of_an_alarm():
        print("%d cuts" % check_cuts())

    def test_wear():
        """Bytes programmed and blocks erased, per alarm and per day of heartbeats; docs/firmware.md has them."""
        chip = new_chip()

        def alarms(files):
            device = Device(settings(), files, 0, quiet, Chance(1))
            for number in range(200):
                alarm = device.activate(number, number)
                header, _ = open_frame(uplink_key(ROOT, DEVICE), device.alarm_frame(alarm, number))
                for stage in (RECEIPT, CLOSED):
                    device.take_frame(status(header, alarm.activation, stage), number)
            return True

        def day(files):
            device = Device(settings(), files, 0, quiet, Chance(1))
            for _ in range(288):
                device.heartbeat_frame(BoardDouble(), 0)
            return True

        for name, job, count in (("alarm", alarms, 200), ("day of heartbeats", day, 1)):
            chip.programmed = chip.erased = 0
            assert mounted(chip, job)
            print("wear: %d bytes, %.1f erases per %s" % (chip.programmed // count, chip.erased / count, name))
            assert chip.erased / count < (3 if count > 1 else 30)


def test_files():
    files = Files("/tmp" if MICROPYTHON else __import__("tempfile").mkdtemp())
    name = "/sigap-files-%d" % Chance(id(files) & 0xFFFF | 1)()
    assert files.names(name) == []
    files.make_directory(name)
    files.make_directory(name)
    assert files.read(name + "/a") is None
    files.write(name + "/a", b"one")
    files.write(name + "/a", b"2")
    assert files.read(name + "/a") == b"2"
    files.rename(name + "/a", name + "/b")
    assert files.names(name) == ["b"]
    files.remove(name + "/b")
    files.remove(name + "/b")
    assert files.names(name) == []
    os.rmdir(files._root + name)
