"""/device.json: read, checked with errors that say what to put right, and changed, whole or not at all."""

import binascii
import json

from panic.schema import ABSENT, BOOL, CHOICE, HEX, INT, SCHEMA
from panic_wire.keys import broker_password, downlink_key, uplink_key

PATH = "/device.json"
NEW = "/device.new"
OLD = "/device.old"
SLEEPING_HEARTBEAT_S = 3600


class SettingsError(ValueError):
    """What is wrong with the settings, all of it, in one sentence."""


class Settings:
    """Checked settings, named as in /device.json with _ for the dot; device is an int; site (lat_e7, lon_e7, moved_m)
    or None.

    In place of the root key there is what is derived from it: uplink_key, downlink_key, broker_password.
    No methods: main.py unloads this module when it has the settings, and a method would hold it in RAM.
    """


def check(values):
    """The Settings in a parsed /device.json. SettingsError names everything that is wrong with it."""
    problems = []
    found = Settings()
    if not isinstance(values, dict):
        raise SettingsError("%s must be a table" % PATH)
    for name, kind, least, most, default, _, _ in SCHEMA:
        group, _, last = name.rpartition(".")
        table = values.get(group, {}) if group else values
        if not isinstance(table, dict):
            problem = "%s must be a table" % group
            if problem not in problems:
                problems.append(problem)
            continue
        value = table.get(last, default)
        problem = None if value is ABSENT else wrong(kind, least, most, value)
        if problem:
            # A secret is said to be wrong, never shown: it may be most of the right one.
            shown = (
                "is missing" if value is None else "is wrong" if last in ("password", "root_key") else "is %r" % value
            )
            problems.append("%s %s; it must be %s" % (name, shown, problem))
        setattr(found, name.replace(".", "_"), value)
    if problems:
        raise SettingsError("%s: %s" % (PATH, "; ".join(problems)))
    if found.power != "mains" and "heartbeat_s" not in values:
        found.heartbeat_s = SLEEPING_HEARTBEAT_S
    found.wifi_networks = [(found.wifi_ssid, found.wifi_password)]
    found.broker_ssl = found.broker_hostname = found.broker_backup = None
    found.clock_floor_s = 0
    found.lora = None
    has_site = found.site_lat_e7 is not ABSENT and found.site_lon_e7 is not ABSENT
    found.site = (found.site_lat_e7, found.site_lon_e7, found.site_moved_m) if has_site else None
    root_key = binascii.unhexlify(found.root_key)
    found.device = int(found.device, 16)
    found.root_key = None
    found.uplink_key = uplink_key(root_key, found.device)
    found.downlink_key = downlink_key(root_key, found.device)
    found.broker_password = broker_password(root_key, found.device)
    return found


def wrong(kind, least, most, value):
    """What the value must be, or None when it is that."""
    if kind == BOOL:
        return None if value is True or value is False else "true or false"
    if kind == CHOICE:
        return None if value in least else "one of " + ", ".join(least)
    if kind == INT:
        right = isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
        return None if right else "a whole number from %d to %d" % (least, most)
    right = isinstance(value, str) and least <= len(value) <= most
    if kind == HEX:
        if right:
            for letter in value:
                right = right and letter in "0123456789abcdefABCDEF"
        return None if right else "%d hex digits" % least
    return None if right else "a text of %d to %d letters" % (least, most)


def _parse(data, files):
    try:
        values = json.loads(data.decode())
        found = check(values)
    except SettingsError:
        raise
    except ValueError as error:
        raise SettingsError("%s is not JSON (%s): provision this device again" % (PATH, error))
    wifi, broker = values["wifi"], values["broker"]
    if "more" in wifi or "tls" in broker or "backup" in broker:
        from panic import network_settings

        problems = network_settings.load(found, wifi, broker, files)
        if problems:
            raise SettingsError("%s: %s" % (PATH, "; ".join(problems)))
    if "lora" in values:
        from panic import radio_settings

        problems = radio_settings.load(found, values["lora"])
        if problems:
            raise SettingsError("%s: %s" % (PATH, "; ".join(problems)))
    return found


def load(files, log=None):
    """The Settings in /device.json, or, when they cannot be used, those before the last change. SettingsError."""
    data = files.read(PATH)
    try:
        if data is None:
            raise SettingsError("%s is missing: provision this device" % PATH)
        return _parse(data, files)
    except SettingsError as error:
        old = files.read(OLD)
        if old is None:
            raise
        try:
            found = _parse(old, files)
        except SettingsError:
            raise error
        if log:
            log("%s; the settings before are used" % error)
        return found


def change(files, name, text, settings=None, afar=False):
    """Set one setting to the value in `text`: None when it is on flash, else why not, and then all is as before.

    settings: the running Settings, in which it is changed as well; those without one take effect at the next start.
    Over serial: mpremote exec "from panic.settings import change;
    from panic.files import Files; print(change(Files(), 'silent', 'true'))"
    """
    for row in SCHEMA:
        if row[0] == name:
            break
    else:
        return "there is no setting %s" % name
    _, kind, least, most, _, _, may = row
    if afar and not may:
        return "%s is not to be changed from afar" % name
    value = text
    if kind == BOOL:
        value = {"true": True, "false": False}.get(text)
    elif kind == INT:
        try:
            value = int(text)
        except ValueError:
            value = None
    problem = wrong(kind, least, most, value)
    if problem:
        return "%s must be %s" % (name, problem)
    data = files.read(PATH)
    try:
        if data is None:
            return "%s is missing" % PATH
        values = json.loads(data.decode())
        group, _, last = name.rpartition(".")
        (values.setdefault(group, {}) if group else values)[last] = value
        check(values)
        # Whole or not at all: a rename is one step on LittleFS. The one before stays, should this one ever be
        # unreadable.
        files.write(NEW, json.dumps(values).encode())
        files.write(OLD, data)
        files.rename(NEW, PATH)
    except (ValueError, OSError) as error:
        return str(error)
    if settings:
        setattr(settings, name.replace(".", "_"), value)
    return None
