"""The virtual board's `network`: a WiFi station; the world's access points come and go."""

from .. import clock
from ..parts import Module, Part, lacking

STA_IF, AP_IF = 0, 1
STAT_IDLE, STAT_CONNECTING, STAT_GOT_IP = 1000, 1001, 1010
STAT_NO_AP_FOUND, STAT_WRONG_PASSWORD, STAT_BEACON_TIMEOUT = 201, 202, 200
STAT_ASSOC_FAIL, STAT_HANDSHAKE_TIMEOUT = 203, 204

FULL_SCAN_US = 2_000_000  # what a driver takes to find that nobody answers to a name on any channel
SCAN_US = 2_100_000  # scan() blocks for that long: 13 channels of 120 to 160 ms

_link = None
_stall = None
_points = []  # the access points as the world has them; each with "changed_us" of ours
_unique_id = b""
_station = None
_lost = []


def online():
    """True while the station is joined."""
    return _station is not None and _station.isconnected()


def point():
    """The number of the access point that the station is joined to."""
    return _station._point


def portal():
    """What the joined access point has in place of the world: None, or the port of its web server."""
    return _points[_station._point]["portal"] if online() else None


def when_lost(function):
    _lost.append(function)


def _on_wifi(message):
    """The first access point is the message itself, the others are its "more"."""
    wifi = message["wifi"]
    was_online = online()
    for number, told in enumerate([wifi] + wifi.get("more", [])):
        if number == len(_points):
            _points.append({"changed_us": 0, "up": told.get("up", True)})
        kept = _points[number]
        if kept["up"] != told.get("up", True):
            kept["changed_us"] = clock.host_us()
        for key in ("ssid", "password"):
            kept[key] = told.get(key)
        kept["up"] = told.get("up", True)
        for key, default in _KINDS:
            kept[key] = told.get(key, wifi.get(key, default))
        kept["portal"] = told.get("portal")
        kept["bssid"] = bytes([2, 0, 0, 0, 0, number])
    if was_online and not online():
        for function in _lost:
            function()


_KINDS = (("rssi_dbm", -60), ("join_ms", 50), ("dhcp_ms", 0), ("channel", 6))


class WLAN(Part):
    """A station: joins the strongest access point that fits after its `join_ms`, and by itself when it comes back.

    With a bssid it does so in half the time, and with an address of its own without the `dhcp_ms`.
    """

    _kind = "network.WLAN"
    IF_STA, IF_AP = STA_IF, AP_IF
    PM_NONE, PM_PERFORMANCE, PM_POWERSAVE = 0, 1, 2
    SEC_OPEN, SEC_WEP, SEC_WPA, SEC_WPA2, SEC_WPA3 = 0, 1, 2, 3, 6

    def __new__(cls, interface=STA_IF):
        global _station
        if interface != STA_IF:
            raise lacking("network.WLAN(AP_IF)", "network")
        if _station is None:
            _station = object.__new__(cls)
            _station._active = False
            _station._joining = _station._static = None
            _station._point = -1
            _station._config = {"pm": 1, "reconnects": -1, "txpower": 20, "channel": 6, "hostname": "mpy-esp32"}
        return _station

    def __init__(self, interface=STA_IF):
        pass

    def active(self, on=None):
        if on is not None:
            if self._active != bool(on):
                self._active = bool(on)
                _link.send('{"radio":"%s"}' % ("idle" if on else "off"))
            if not on:
                self.disconnect()
        return self._active

    def connect(self, ssid=None, key=None, bssid=None):
        if not self._active:
            raise OSError("STA interface is not active")
        self._joining = (ssid, key, bssid, clock.host_us())
        self._point = -1
        _link.send('{"radio":"joining"}')

    def disconnect(self):
        was = self._joining
        self._joining = None
        if was:
            for function in _lost:
                function()

    def scan(self):
        """[(ssid, bssid, channel, RSSI, security, hidden)]; blocks as the chip does."""
        if not self._active:
            raise OSError("STA interface is not active")
        _stall(SCAN_US)
        return [
            ((each["ssid"] or "sigap").encode(), each["bssid"], each["channel"], each["rssi_dbm"], 3, False)
            for each in _points
            if each["up"]
        ]

    def _candidate(self):
        """(number, status): of the strongest access point that fits, or -1 and why there is none."""
        ssid, key, bssid, since_us = self._joining
        best = -1
        for number, each in enumerate(_points):
            fits = each["up"] and each["ssid"] in (None, ssid) and bssid in (None, each["bssid"])
            if fits and (best < 0 or each["rssi_dbm"] > _points[best]["rssi_dbm"]):
                best = number
        if best < 0:
            waited_us = clock.host_us() - since_us
            return -1, STAT_NO_AP_FOUND if waited_us >= FULL_SCAN_US else STAT_CONNECTING
        if _points[best]["password"] not in (None, key):
            return -1, STAT_WRONG_PASSWORD
        return best, 0

    def isconnected(self):
        if not self._joining:
            return False
        if self._point >= 0:  # joined, and stays with it: a driver does not roam
            each = _points[self._point]
            number, why = self._point, 0 if each["up"] else 1
            if why or each["password"] not in (None, self._joining[1]):
                self._point = -1
        if self._point < 0:
            number, why = self._candidate()
            if why:
                return False
        each = _points[number]
        wait_ms = each["join_ms"] // (2 if self._joining[2] else 1) + (0 if self._static else each["dhcp_ms"])
        if clock.host_us() - max(self._joining[3], each["changed_us"]) < wait_ms * 1000:
            return False
        self._point = number
        return True

    def status(self, what=None):
        if what == "rssi":
            return _points[max(self._point, 0)]["rssi_dbm"]
        if what is not None:
            raise ValueError("unknown status param")
        if not self._joining:
            return STAT_IDLE
        if self.isconnected():
            return STAT_GOT_IP
        return self._candidate()[1] or STAT_CONNECTING

    def ifconfig(self, setting=None):
        if setting is not None:
            self._static = None if setting == "dhcp" else setting
            return None
        if not self.isconnected():
            return ("0.0.0.0",) * 4
        return self._static or ("127.0.0.1", "255.0.0.0", "127.0.0.1", "127.0.0.1")

    def config(self, name=None, **settings):
        if name is None:
            self._config.update(settings)
            return None
        if name == "mac":
            return _unique_id
        if name in ("ssid", "essid"):
            return (self._joining and self._joining[0]) or ""
        if name not in self._config:
            raise lacking("network.WLAN.config(%r)" % name, "network")
        return self._config[name]


class _Network:
    pass


def install(modules, link, setup, stall):
    """setup["wifi"]: an access point as simulator/PROTOCOL.md has it. None for ssid or password takes any.

    stall(us): time passes in which the board does nothing else.
    """
    global _link, _stall, _unique_id
    import binascii

    _link = link
    _unique_id = binascii.unhexlify(setup["unique_id"])
    _stall = stall
    _on_wifi(setup)
    link.on("wifi", _on_wifi)
    source = _Network()
    for key, value in globals().items():
        if key.startswith("ST") or key in ("WLAN", "AP_IF"):
            setattr(source, key, value)
    modules["network"] = Module("network", source)
