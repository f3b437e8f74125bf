"""WiFi as a station: connected, and connected again."""

import asyncio

import network

from panic.ticks import ticks_diff, ticks_ms

CONNECT_MS = 20000
LOOK_MS = 500
REST_MS = 2000


class Wifi:
    """run() keeps the connection; is_up() and rssi_dbm() say how it is."""

    def __init__(self, log=print):
        self._log = log
        self._wlan = network.WLAN(network.STA_IF)

    def is_up(self):
        """Connected, with an address."""
        return self._wlan.isconnected()

    def rssi_dbm(self):
        """Signal strength; 0 when unknown."""
        if not self.is_up():
            return 0
        try:
            return self._wlan.status("rssi")
        except OSError:
            return 0  # the link broke between the two questions

    async def run(self, ssid, password):
        """Never returns. The driver reconnects by itself; if it has not after CONNECT_MS, start anew."""
        up = False
        since = self._start(ssid, password)
        while True:
            if self.is_up():
                if not up:
                    up = True
                    self._log("wifi: connected, %s" % self._wlan.ifconfig()[0])
                since = ticks_ms()
            else:
                if up:
                    up = False
                    self._log("wifi: connection lost")
                if ticks_diff(ticks_ms(), since) > CONNECT_MS:
                    self._log("wifi: no connection in %d s; starting the radio again" % (CONNECT_MS // 1000))
                    self._wlan.active(False)
                    await asyncio.sleep(REST_MS / 1000)
                    since = self._start(ssid, password)
            await asyncio.sleep(LOOK_MS / 1000)

    def _start(self, ssid, password):
        try:
            self._wlan.active(True)
            if not self._wlan.isconnected():
                self._wlan.connect(ssid, password)
        except OSError as error:
            # "Wifi Internal State Error": the radio is switched off and on after CONNECT_MS.
            self._log("wifi: %s" % error)
        return ticks_ms()
