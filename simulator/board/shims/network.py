"""The virtual board's `network`: a WiFi station; the world's one access point comes and goes."""

from .. import clock
from ..parts import Module, Part, lacking

STA_IF, AP_IF = 0, 1
STAT_IDLE, STAT_CONNECTING, STAT_GOT_IP = 1000, 1001, 1010
STAT_NO_AP_FOUND, STAT_WRONG_PASSWORD, STAT_BEACON_TIMEOUT = 201, 202, 200
STAT_ASSOC_FAIL, STAT_HANDSHAKE_TIMEOUT = 203, 204

_link = None
_air = {"up": True, "ssid": None, "password": None, "rssi_dbm": -60, "join_ms": 50}
_changed_us = 0
_unique_id = b""
_station = None
_lost = []


def online():
    """True while the station is joined."""
    return _station is not None and _station.isconnected()


def when_lost(function):
    _lost.append(function)


def _on_wifi(message):
    global _changed_us
    was_up = _air["up"]
    _air.update(message["wifi"])
    if _air["up"] != was_up:
        _changed_us = clock.host_us()
        if not _air["up"]:
            for function in _lost:
                function()


class WLAN(Part):
    """A station: joins after the access point's `join_ms`, and again by itself when it comes back."""

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
            _station._joining = None
            _station._config = {"pm": 1, "reconnects": -1, "txpower": 20, "hostname": "mpy-esp32"}
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
        self._joining = (ssid, key, clock.host_us())
        _link.send('{"radio":"joining"}')

    def disconnect(self):
        was = self._joining
        self._joining = None
        if was:
            for function in _lost:
                function()

    def _refusal(self):
        ssid, key, _ = self._joining
        if _air["ssid"] is not None and ssid != _air["ssid"]:
            return STAT_NO_AP_FOUND
        if _air["password"] is not None and key != _air["password"]:
            return STAT_WRONG_PASSWORD
        return 0

    def isconnected(self):
        if not self._joining or not _air["up"] or self._refusal():
            return False
        return clock.host_us() - max(self._joining[2], _changed_us) >= _air["join_ms"] * 1000

    def status(self, what=None):
        if what == "rssi":
            return _air["rssi_dbm"]
        if what is not None:
            raise ValueError("unknown status param")
        if not self._joining:
            return STAT_IDLE
        if self.isconnected():
            return STAT_GOT_IP
        return self._refusal() or (STAT_CONNECTING if _air["up"] else STAT_NO_AP_FOUND)

    def ifconfig(self, setting=None):
        if setting is not None:
            return None
        return ("127.0.0.1", "255.0.0.0", "127.0.0.1", "127.0.0.1") if self.isconnected() else ("0.0.0.0",) * 4

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


def install(modules, link, setup):
    """setup["wifi"]: {"up", "ssid", "password", "rssi_dbm", "join_ms"}.

    None for ssid or password takes any.
    """
    global _link, _unique_id
    import binascii

    _link = link
    _unique_id = binascii.unhexlify(setup["unique_id"])
    _air.update(setup["wifi"])
    link.on("wifi", _on_wifi)
    source = _Network()
    for key, value in globals().items():
        if key.startswith("ST") or key in ("WLAN", "AP_IF"):
            setattr(source, key, value)
    modules["network"] = Module("network", source)
