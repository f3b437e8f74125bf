"""/device.json, as provisioning writes it: read and checked, with errors that say what to put right."""

import binascii
import json

from panic_wire.keys import broker_password, downlink_key, uplink_key

PATH = "/device.json"


class SettingsError(ValueError):
    """What is wrong with the settings, all of it, in one sentence."""


class Settings:
    """Checked settings, named as in /device.json, flattened; device is an int.

    In place of the root key there is what is derived from it: uplink_key, downlink_key, broker_password.
    No methods: main.py unloads this module when it has the settings, and a method would hold it in RAM.
    """


def check(values):
    """The Settings in a parsed /device.json. SettingsError names everything that is wrong with it."""
    problems = []
    found = Settings()
    top = _Table(values, "", problems)
    found.device = _device(top, problems)
    root_key = _root_key(top, problems)
    wifi = top.table("wifi")
    found.wifi_networks = [(wifi.text("ssid", 1, 32), wifi.text("password", 0, 64, ""))]
    found.wifi_keep_address = wifi.boolean("keep_address")
    broker = top.table("broker")
    found.broker_host = broker.text("host", 1, 253)
    found.broker_port = broker.number("port", 1, 65535, 1883)
    found.broker_ssl = found.broker_hostname = found.broker_backup = None
    found.clock_floor_s = 0
    found.board = top.text("board", 1, 32)
    found.silent = top.boolean("silent")
    found.fixed_site = top.boolean("fixed_site")
    # None: mains. hal/start.py refuses what would not run.
    found.power = top.choice("power", ("mains", "light", "deep"))
    found.hold_is_sos = top.boolean("hold_is_sos")
    # A button that sleeps wakes for each heartbeat.
    found.heartbeat_s = top.number("heartbeat_s", 1, 86400, 60 if found.power in (None, "mains") else 3600)
    found.window_ms = top.number("window_ms", 500, 10000, 2000)
    found.gap_ms = top.number("gap_ms", 200, 5000, 1000)
    if problems:
        raise SettingsError("%s: %s" % (PATH, "; ".join(problems)))
    found.uplink_key = uplink_key(root_key, found.device)
    found.downlink_key = downlink_key(root_key, found.device)
    found.broker_password = broker_password(root_key, found.device)
    return found


def load(files):
    """The Settings in /device.json. SettingsError when it is missing or wrong."""
    data = files.read(PATH)
    if data is None:
        raise SettingsError("%s is missing: provision this device" % PATH)
    try:
        values = json.loads(data.decode())
    except ValueError as error:
        raise SettingsError("%s is not JSON (%s): provision this device again" % (PATH, error))
    found = check(values)
    wifi, broker = values["wifi"], values["broker"]
    if "more" in wifi or "tls" in broker or "backup" in broker:
        from panic import network_settings

        problems = network_settings.load(found, wifi, broker, files)
        if problems:
            raise SettingsError("%s: %s" % (PATH, "; ".join(problems)))
    return found


class _Table:
    """One table of the file; what is wrong goes to `problems` by its full name."""

    def __init__(self, values, prefix, problems):
        self._problems = problems
        self._prefix = prefix
        if not isinstance(values, dict):
            problems.append("%s must be a table" % (prefix[:-1] or "the whole"))
            values = {}
        self._values = values

    def _wrong(self, name, want, value):
        got = "is missing" if value is None else "is %r" % (value,)
        self._problems.append("%s%s %s; it must be %s" % (self._prefix, name, got, want))

    def table(self, name):
        return _Table(self._values.get(name), self._prefix + name + ".", self._problems)

    def text(self, name, least, most, default=None):
        value = self._values.get(name, default)
        if isinstance(value, str) and least <= len(value) <= most:
            return value
        # A password is said to be wrong, never shown.
        shown = "***" if name == "password" and value is not None else value
        self._wrong(name, "a text of %d to %d letters" % (least, most), shown)
        return ""

    def number(self, name, least, most, default):
        value = self._values.get(name, default)
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        self._wrong(name, "a whole number from %d to %d" % (least, most), value)
        return default

    def choice(self, name, names):
        """One of `names`, or None when nothing is said."""
        value = self._values.get(name)
        if value is None or value in names:
            return value
        self._wrong(name, "one of " + ", ".join(names), value)
        return None

    def boolean(self, name):
        value = self._values.get(name, False)
        if value is True or value is False:
            return value
        self._wrong(name, "true or false", value)
        return False


def _device(top, problems):
    text = top.text("device", 8, 8)
    number = _hex(text, 4)
    if number is None:
        if text:
            problems.append("device must be eight hex digits")
        return 0
    return int(text, 16)


def _root_key(top, problems):
    value = top._values.get("root_key")
    key = _hex(value, 16) if isinstance(value, str) else None
    if key is None:
        # Never show what is there: it may be most of the key.
        problems.append("root_key must be 32 hex digits")
        return bytes(16)
    return key


def _hex(text, length):
    """Bytes of exactly `length`, or None."""
    if len(text) != 2 * length:
        return None
    for letter in text:
        if letter not in "0123456789abcdefABCDEF":
            return None
    return binascii.unhexlify(text)
