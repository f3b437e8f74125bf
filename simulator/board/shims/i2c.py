"""machine.I2C of the virtual board: every transfer is the world's to answer, where the chips on the bus are."""

import binascii

from ..parts import Part, lacking

_link = None
_number = int


class I2C(Part):
    """A bus of its own for each pair of pins. OSError(19, ENODEV) when nobody acknowledges, as on the ESP32."""

    _kind = "machine.I2C"

    def __init__(self, id, scl=None, sda=None, freq=400000, timeout=50000):
        if id not in (0, 1):
            raise ValueError("I2C(%d) doesn't exist" % id)
        if scl is None or sda is None:
            raise lacking("machine.I2C without scl and sda", "i2c")
        self._pins = (_number(sda), _number(scl))

    def _transfer(self, address, written, count):
        answer = _link.call(
            '{"i2c": [%d, %d], "address": %d, "write": "%s", "read": %d}'
            % (self._pins[0], self._pins[1], address, binascii.hexlify(bytes(written)).decode(), count),
            "i2c",
        )
        if "fault" in answer:
            raise NotImplementedError("virtual board: " + answer["fault"])
        if "errno" in answer:
            raise OSError(answer["errno"])
        return binascii.unhexlify(answer["data"])

    def writeto(self, addr, buf, stop=True):
        if not stop:
            raise lacking("machine.I2C.writeto(stop=False)", "i2c")
        self._transfer(addr, buf, 0)
        return len(buf)

    def readfrom(self, addr, nbytes, stop=True):
        return self._transfer(addr, b"", nbytes)

    def writeto_mem(self, addr, memaddr, buf, *, addrsize=8):
        if addrsize != 8:
            raise lacking("machine.I2C(addrsize=%d)" % addrsize, "i2c")
        self._transfer(addr, bytes((memaddr,)) + bytes(buf), 0)

    def readfrom_mem(self, addr, memaddr, nbytes, *, addrsize=8):
        if addrsize != 8:
            raise lacking("machine.I2C(addrsize=%d)" % addrsize, "i2c")
        return self._transfer(addr, bytes((memaddr,)), nbytes)

    def scan(self):
        found = []
        for address in range(0x08, 0x78):
            try:
                self._transfer(address, b"", 0)
            except OSError:
                continue
            found.append(address)
        return found


def install(link, number):
    """number: of a Pin."""
    global _link, _number
    _link, _number = link, number
