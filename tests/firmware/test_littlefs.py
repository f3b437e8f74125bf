"""Journal and counter on MicroPython's real LittleFS, with the power cut at every byte the chip programs.

Under CPython there is no VfsLfs2: there the same promises are tested byte by byte in test_journal.py and
test_counter.py, and this file only checks panic.files on the host's filesystem.
"""

import os
import sys

from flash_double import Chance, quiet

from panic.counter import Counter
from panic.files import Files
from panic.journal import Entry, Journal

MICROPYTHON = sys.implementation.name == "micropython"
HERE = (-70000000, 1104000000, 12, 3)
PLACE = "/flash-test"


class Chip:
    """A block device in RAM that stops programming, in the middle of a write, after `budget` bytes."""

    BLOCK = 4096

    def __init__(self, data=None, budget=None):
        self.data = bytearray(data) if data else bytearray(b"\xff" * self.BLOCK * 16)
        self.budget = budget
        self.programmed = 0

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


def life(chip, seed, used, activations, added, receipted):
    def job(files):
        journal = Journal(files, quiet)
        counter = Counter(files, Chance(seed), journal.highest(), quiet)
        for _ in range(2):
            activation = counter.take_activation()
            journal.add(Entry(activation, position=HERE))
            if chip.is_dead():
                return  # what the code does after the cut never happened
            assert activation not in activations, activation
            activations.add(activation)
            added.add(activation)
            number = counter.take_counter()
            if chip.is_dead():
                return
            key = (counter.epoch, number)
            assert key not in used
            used.add(key)
        journal.receipt(max(added))
        receipted.add(max(added))

    return job


def new_chip():
    import vfs

    chip = Chip()
    vfs.VfsLfs2.mkfs(chip)
    return chip


def check_cuts(step):
    start = new_chip()
    used, activations, added, receipted = set(), set(), set(), set()
    mounted(start, life(start, 1, used, activations, added, receipted))
    assert len(added) == 2
    whole = Chip(start.data)
    mounted(whole, life(whole, 2, set(used), set(activations), set(added), set()))
    assert whole.programmed > 300, whole.programmed
    for budget in range(0, whole.programmed, step):
        chip = Chip(start.data, budget)
        now_used, now_activations, now_added = set(used), set(activations), set(added)
        maybe = set()
        mounted(chip, life(chip, 2, now_used, now_activations, now_added, maybe))
        chip = Chip(chip.data)
        entries = mounted(chip, lambda files: Journal(files, quiet).entries())
        found = {entry.activation: entry for entry in entries}
        for activation in now_added:
            assert activation in found, "alarm %d was lost at byte %d" % (activation, budget)
            assert found[activation].position == HERE
            if found[activation].receipted:
                assert activation in receipted or activation == max(now_added)
        mounted(chip, life(chip, 3, now_used, now_activations, now_added, maybe))


if MICROPYTHON:

    def test_cut_at_every_programmed_byte():
        check_cuts(1)


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
