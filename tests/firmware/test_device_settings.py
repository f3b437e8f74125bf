"""/device.json: what is right passes, what is wrong is said, all of it and by name; no secret is shown."""

from flash_double import FlashDouble

from panic.settings import SettingsError, check, load
from panic_wire.keys import broker_password, downlink_key, uplink_key


def good():
    return {
        "device": "0000a1b2",
        "root_key": "00" * 15 + "fF",
        "wifi": {"ssid": "shop", "password": "kata sandi"},
        "broker": {"host": "127.0.0.1", "port": 18830},
        "board": "devkit",
        "silent": True,
        "fixed_site": False,
        "heartbeat_s": 30,
        "window_ms": 1800,
    }


def problem(**changes):
    values = good()
    for key in changes:
        if changes[key] is None:
            del values[key]
        else:
            values[key] = changes[key]
    try:
        check(values)
    except SettingsError as error:
        return str(error)
    raise AssertionError("accepted: %r" % changes)


def test_good_settings():
    settings = check(good())
    assert settings.device == 0xA1B2
    root = bytes(15) + b"\xff"
    assert settings.uplink_key == uplink_key(root, 0xA1B2)
    assert settings.downlink_key == downlink_key(root, 0xA1B2)
    assert settings.broker_password == broker_password(root, 0xA1B2)
    assert settings.wifi_networks == [("shop", "kata sandi")]
    assert (settings.broker_host, settings.broker_port) == ("127.0.0.1", 18830)
    assert (settings.silent, settings.fixed_site) == (True, False)
    assert (settings.heartbeat_s, settings.window_ms) == (30, 1800)


def test_what_may_be_left_out():
    values = good()
    for name in ("silent", "fixed_site", "heartbeat_s", "window_ms"):
        del values[name]
    del values["wifi"]["password"]
    settings = check(values)
    assert (settings.silent, settings.heartbeat_s, settings.window_ms, settings.gap_ms) == (
        False,
        300,
        2000,
        1000,
    )


def test_unknown_keys_are_for_newer_firmware():
    values = good()
    values["lora"] = {"sf": 9}
    check(values)


def test_each_mistake_is_named():
    for name, value in (
        ("device", None),
        ("device", "a1b2"),
        ("device", "0000a1bz"),
        ("device", 7),
        ("root_key", None),
        ("root_key", "00"),
        ("root_key", "zz" * 16),
        ("root_key", 5),
        ("wifi", None),
        ("wifi", {"password": "x"}),
        ("wifi", {"ssid": "x" * 33}),
        ("broker", None),
        ("broker", {"port": 1}),
        ("broker", {"host": "h", "port": 0}),
        ("broker", {"host": "h", "port": "1883"}),
        ("board", None),
        ("silent", 1),
        ("fixed_site", "no"),
        ("heartbeat_s", 0),
        ("heartbeat_s", True),
        ("heartbeat_s", 1.5),
        ("window_ms", 99),
    ):
        assert name in problem(**{name: value}), (name, value)


def test_all_mistakes_at_once():
    text = problem(device="x", board=None, heartbeat_s=-1, broker={"host": ""})
    for name in ("device", "board", "heartbeat_s", "broker.host"):
        assert name in text, text


def test_secrets_are_not_shown():
    key = "ab" * 15
    assert "abab" not in problem(root_key=key)
    assert "rahasia" not in problem(wifi={"ssid": "x", "password": "rahasia" * 20})


def test_the_file():
    def fails(data):
        try:
            load(FlashDouble({} if data is None else {"/device.json": data}))
        except SettingsError as error:
            return str(error)
        raise AssertionError("accepted")

    assert "missing" in fails(None)
    assert "JSON" in fails(b"{")
    assert "JSON" in fails(b"\xff\xfe")
    assert "table" in fails(b"[]")
    assert "broker" in fails(b"{}")
