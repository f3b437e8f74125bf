"""What both radios have in common: sending, receiving, looking at the channel, each wait with a limit.

A driver (sx126x.py, sx127x.py) says how its chip does each step.
"""

# The steps are methods of the drivers; stubs here would cost a button RAM.
# pyright: reportAttributeAccessIssue=false

import asyncio

PREAMBLE_SYMBOLS = 8
BANDWIDTH_HZ = 125000
SYNC_WORD = 0x12  # a private network; LoRaWAN's is 0x34
MAX_BYTES = 255
# What the chip found. A driver's _masks are the flags of its chip for each, in this order.
DONE, LATE, BROKEN, FOUND = 1, 2, 4, 8


class RadioError(Exception):
    """The radio does not do what it must. reason: absent, busy, oscillator, silent, untuned."""

    def __init__(self, reason):
        super().__init__("the radio is " + reason)
        self.reason = reason


def airtime_ms(length, factor, bandwidth_hz=BANDWIDTH_HZ):
    """Milliseconds on the air, rounded up, of a packet of `length` bytes: explicit header, CRC, coding rate 4/5.

    SX1276 datasheet, 4.1.1.7; the SX1262's 6.1.4 is the same for SF7 to SF12.
    """
    slow = is_slow(factor, bandwidth_hz)
    blocks = -(-(8 * length - 4 * factor + 44) // (4 * (factor - 2 * slow)))
    # In quarters of a symbol: the sync word is 4.25 long.
    quarters = 4 * (PREAMBLE_SYMBOLS + 8 + 5 * max(blocks, 0)) + 17
    return -(-quarters * (1 << factor) * 250 // bandwidth_hz)


def is_slow(factor, bandwidth_hz=BANDWIDTH_HZ):
    """A symbol takes more than 16 ms, so the low data rate optimisation is mandated (SX1276, 4.1.1.6)."""
    return (1 << factor) * 1000 > 16 * bandwidth_hz


class Radio:
    """bus: see README.md. crc_errors, header_errors: packets that came broken, since begin().

    One task at a time may use it: a LoRa radio does one thing at a time.
    """

    def __init__(self, bus):
        self._bus = bus
        self.factor = 0
        self.crc_errors = self.header_errors = 0

    async def begin(self):
        """Reset the chip and set up all that does not change. RadioError when it cannot be used."""
        self.factor = self.crc_errors = self.header_errors = 0
        bus = self._bus
        bus.reset(0)
        await asyncio.sleep(0.001)  # 100 us at least
        bus.reset(1)
        await self._begin()

    async def tune(self, frequency_hz, factor, power_dbm, inverted=False):
        """Where it sends and receives from now on. factor: 7 to 12. inverted: the IQ of downlinks, in LoRaWAN's way."""
        self.factor = factor
        await self._tune(frequency_hz, factor, power_dbm, inverted)

    async def send(self, payload):
        """Returns when it has been sent; its airtime in ms. RadioError when the chip does not say so in time."""
        if not 0 < len(payload) <= MAX_BYTES:
            raise ValueError("a packet has 1 to 255 bytes")
        await self._ready()
        airtime = airtime_ms(len(payload), self.factor)
        await self._send(payload, airtime)
        if not await self._wait(2 * airtime + 50) & DONE:
            await self.standby()
            raise RadioError("silent")
        return airtime

    async def sleep(self):
        """Least current, settings kept, nothing found left over; wake() ends it."""
        await self.standby()
        await self._clear()
        await self._sleep()

    def poke(self):
        """End a rest() early."""
        self._bus.poke()

    async def rest(self, limit_ms):
        """Wait, for at most limit_ms or without end, until the chip has found something, or poke(): True then."""
        return await self._bus.wait(limit_ms)

    async def listen(self):
        """Receive from now on, one packet after the other, until something else is asked."""
        await self._ready()
        await self._listen()

    async def take(self, limit_ms):
        """(payload, rssi_dbm, snr_db) of the next packet; None when none came within limit_ms, or it came broken.

        What came broken is counted. limit_ms None: for ever.
        """
        found = await self._wait(limit_ms)
        if not found & (DONE | BROKEN):
            return None
        packet = None
        if not found & BROKEN:
            packet = await self._packet()
        elif found & DONE:
            self.crc_errors += 1
        else:
            self.header_errors += 1
        await self._clear()
        return packet

    async def is_free(self):
        """Nobody who sends with this factor on this frequency can be heard: channel activity detection."""
        await self._ready()
        await self._look()
        # Two symbols or so; the slowest take 33 ms each.
        found = await self._wait(20 + (8 << self.factor) * 1000 // BANDWIDTH_HZ)
        if not found & DONE:
            await self.standby()
            raise RadioError("silent")
        return not found & FOUND

    async def _ready(self):
        """In standby, with nothing found yet: whence each step begins."""
        if not self.factor:
            raise RadioError("untuned")
        await self.standby()
        await self._clear()

    async def _found(self):
        irq = await self._irq()
        found = 0
        for place, mask in enumerate(self._masks):
            if irq & mask:
                found |= 1 << place
        return found

    async def _wait(self, limit_ms):
        """What the chip found, once it found something; 0 after limit_ms."""
        while True:
            found = await self._found()
            if found:
                return found
            if not await self._bus.wait(limit_ms):
                # An edge may have been missed: the chip has the last word.
                return await self._found()
            # A line that is high for no reason must not hold everything else up.
            await asyncio.sleep(0.001)
            if limit_ms is not None:
                limit_ms -= 1
                if limit_ms <= 0:
                    return await self._found()
