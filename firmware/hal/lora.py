"""The LoRa radio of a board: its bus, its supply, and which of the two chips it is."""

import asyncio
from time import sleep_ms  # pyright: ignore[reportAttributeAccessIssue]

from machine import SPI, Pin

from panic.wait import wait

BAUD = 8000000  # SX1276: 10 MHz at most (data sheet, table 8); SX1262: 16 (8.2.1)


class Bus:
    """As firmware/lora/README.md says; poke() ends a wait()."""

    def __init__(self, sck, miso, mosi, cs, rst):
        self._cs = Pin(cs, Pin.OUT, value=1)
        self._rst = Pin(rst, Pin.OUT, value=1)
        self._spi = SPI(1, baudrate=BAUD, sck=Pin(sck), mosi=Pin(mosi), miso=Pin(miso))
        self._flag = asyncio.ThreadSafeFlag()
        self._irq = self._busy = None

    def join(self, irq, busy=None):
        """The pins that the chip drives, once it is known which chip it is."""
        self._busy = None if busy is None else Pin(busy, Pin.IN)
        self._irq = Pin(irq, Pin.IN)
        self._irq.irq(handler=self._rose, trigger=Pin.IRQ_RISING)

    def _rose(self, pin):
        self._flag.set()

    def poke(self):
        """Whoever waits looks again."""
        self._flag.set()

    def transfer(self, sent):
        answer = bytearray(len(sent))
        self._cs(0)
        self._spi.write_readinto(sent, answer)
        self._cs(1)
        return answer

    def reset(self, level):
        self._rst(level)

    def busy(self):
        return self._busy()  # pyright: ignore[reportOptionalCall]

    async def wait(self, ms):
        if self._irq():  # pyright: ignore[reportOptionalCall]
            return True
        return await wait(self._flag, ms)


def radio(parts, pmu=None):
    """The lora.radio.Radio of a board. parts: "lora" of its description. Its supply is on from here on.

    Which chip it is, the chip says: GetStatus of an SX1262 (13.5.1) is a write of a register's own value to an SX1276.
    """
    sck, miso, mosi, cs, rst, dio0, dio1, busy, tcxo, dio2 = parts
    bus = Bus(sck, miso, mosi, cs, rst)
    if pmu:
        pmu.lora(True)
        sleep_ms(5)
    bus.reset(0)
    sleep_ms(1)
    bus.reset(1)
    sleep_ms(10)  # SX1276: 5 (7.2.2); SX1262: 3.5 until BUSY is low (8.4)
    if dio0 is None or (busy is not None and bus.transfer(b"\xc0\0")[1] >> 4 & 7 == 2):
        from lora.sx126x import Sx126x

        bus.join(dio1, busy)
        return Sx126x(bus, tcxo, dio2)
    from lora.sx127x import Sx127x

    bus.join(dio0)
    return Sx127x(bus)
