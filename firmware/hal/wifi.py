"""WiFi as a station: connected, and connected again. What several networks want is in joining.py, loaded meanwhile."""

import asyncio
import sys

import network

import hal
from mqtt.flag import Flag
from panic.ticks import ticks_diff, ticks_ms

CONNECT_MS = 20000
REST_MS = 2000
JOIN_LOOK_MS = 250
ABSENT = (201, 210, 211, 212)  # status(): no such access point, or none that suits
REFUSED = (202, 204)  # wrong password; the handshake came to nothing, which is what a wrong one looks like too
LOOK_MS = 5000  # and at once when the broker is lost, or somebody presses
PROVE_MS = 10000  # how long an address of last time may go without an answer from the broker


class Wifi:
    """run() keeps the connection; is_up() and rssi_dbm() say how it is.

    trouble: None, or what is wrong: no-network (none of ours is in the air), password, timeout, portal (a captive
    portal answers in place of the broker). look(portal): look now, for the broker was not reached, or it was a portal.
    answered(): the broker was reached.
    """

    def __init__(self, log=print):
        self.log = log
        self.wlan = network.WLAN(network.STA_IF)
        self.trouble = None
        self.borrowed = False  # the address is that of last time, and nobody has answered yet
        self.stale = False  # the address of last time is no good
        self.ssid = None  # the network that we are on, or were
        self.avoid = None  # one on which nobody gets through
        self._wake = None

    def is_up(self):
        """Connected, with an address."""
        return self.wlan.isconnected()

    def rssi_dbm(self):
        """Signal strength; 0 when unknown."""
        if not self.is_up():
            return 0
        try:
            return self.wlan.status("rssi")
        except OSError:
            return 0  # the link broke between the two questions

    def look(self, portal=False):
        if portal and self.is_up():
            if self.trouble != "portal":
                self.trouble = "portal"
                self.log("wifi: a captive portal on %s: nobody gets through before somebody logs in" % self.ssid)
            self.avoid = self.ssid
        if self._wake:
            self._wake.set()

    def answered(self):
        self.borrowed = False
        self.trouble = self.avoid = None

    async def run(self, networks, keep_address=False, on_up=None):
        """Never returns. networks: [(ssid, password)], who comes first is preferred.

        keep_address: begin with the address of last time, without DHCP. For boards that sleep: it saves a second or
        more at each start, and nobody renews the lease. on_up(): called each time there is a connection.
        """
        self._wake = Flag()
        again = False
        several = len(networks) > 1
        while True:
            if several or keep_address:
                from hal.joining import join

                try:
                    await join(self, networks, keep_address, again)
                finally:  # run() may be cancelled: before a sleep
                    join = None
                    del hal.joining, sys.modules["hal.joining"]  # its RAM is worth more while it is not needed  # pyright: ignore[reportAttributeAccessIssue]
            else:
                await self._join(networks[0][0], networks[0][1], again)
            self.trouble = None
            self.log("wifi: connected, %s" % self.wlan.ifconfig()[0])
            if on_up:
                on_up()
            await self._stay(several)
            again = not self.is_up()

    async def _join(self, ssid, password, again):
        """The only network there is. again: it was joined, and the driver tries by itself."""
        self.ssid = ssid
        while True:
            if not again:
                try:
                    self.wlan.active(True)
                    self.wlan.connect(ssid, password)
                except OSError as error:
                    # "Wifi Internal State Error": the radio is switched off and on after CONNECT_MS.
                    self.log("wifi: %s" % error)
            again = False
            if await self.joined(CONNECT_MS, True):
                return
            self.log("wifi: no connection in %d s (%s); starting the radio again" % (CONNECT_MS // 1000, self.trouble))
            self.wlan.active(False)
            await asyncio.sleep(REST_MS / 1000)

    async def joined(self, limit_ms, patient):
        """True when connected within the limit. patient: whatever the driver says, it may still get there."""
        since = ticks_ms()
        sure = 0
        while not self.is_up():
            status = self.wlan.status()
            sure += 1
            if status in REFUSED:
                self.trouble = "password"
            elif status in ABSENT:
                self.trouble = "no-network"
            else:
                self.trouble = "timeout"
                sure = 0
            if (sure > 2 and not patient) or ticks_diff(ticks_ms(), since) > limit_ms:
                return False
            await asyncio.sleep(JOIN_LOOK_MS / 1000)
        return True

    async def _stay(self, several):
        """Until the connection is lost, or the address of last time turns out to be no good."""
        since = ticks_ms()
        while self.is_up():
            if self.borrowed and ticks_diff(ticks_ms(), since) > PROVE_MS:
                self.log("wifi: no answer at the address of last time; asking for a new one")
                self.stale = True
                return
            if several and self.avoid == self.ssid:
                return
            await self._wake.wait(LOOK_MS)
        self.log("wifi: connection lost")
