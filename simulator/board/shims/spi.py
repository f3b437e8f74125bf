"""machine.SPI of the virtual board: every transfer is the world's to answer, where the radio on the bus is.

The chip's select line is a Pin of the firmware's; a transfer while it is high reaches nobody. One selection holds one
transfer: a driver that splits a transaction is told that this board cannot carry it.
"""

import binascii

from ..parts import Part, lacking

_link = None
_number = int
_level = None


class SPI(Part):
    """The bus at these pins. Bytes take the time that they take at `baudrate`."""

    _kind = "machine.SPI"
    MSB, LSB = 0, 1

    def __init__(self, id, baudrate=1000000, polarity=0, phase=0, bits=8, firstbit=0, sck=None, mosi=None, miso=None):
        if id not in (1, 2):
            raise ValueError("SPI(%d) doesn't exist" % id)
        if sck is None or mosi is None or miso is None:
            raise lacking("machine.SPI without sck, mosi and miso", "spi")
        if (polarity, phase, bits, firstbit) != (0, 0, 8, 0):
            raise lacking("machine.SPI in another mode than 0, 8 bits, the highest first", "spi")
        self._pins = (_number(sck), _number(mosi), _number(miso))
        self._baudrate = baudrate

    def _transfer(self, sent):
        answer = _link.call(
            '{"spi": [%d, %d, %d], "write": "%s", "baud": %d}'
            % (self._pins[0], self._pins[1], self._pins[2], binascii.hexlify(bytes(sent)).decode(), self._baudrate),
            "spi",
        )
        if "fault" in answer:
            raise NotImplementedError("virtual board: " + answer["fault"])
        if "busy" in answer:  # before the program can look at the line
            _level({"pin": answer["busy"][0], "value": answer["busy"][1]})
        if hasattr(_link, "stall"):
            _link.stall(8000000 * len(sent) // self._baudrate, 2)
        return binascii.unhexlify(answer["data"])

    def write_readinto(self, sent, into):
        if len(sent) != len(into):
            raise ValueError("buffers must be the same length")
        into[:] = self._transfer(sent)

    def write(self, sent):
        self._transfer(sent)

    def readinto(self, into, write=0):
        into[:] = self._transfer(bytes((write,)) * len(into))

    def read(self, nbytes, write=0):
        return self._transfer(bytes((write,)) * nbytes)

    def deinit(self):
        pass


def install(link, number, level):
    """number: of a Pin. level: moves one from outside, without an interrupt."""
    global _link, _number, _level
    _link, _number, _level = link, number, level
