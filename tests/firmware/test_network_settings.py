"""More WiFi, TLS and a backup broker in /device.json: what is right is there, what is wrong is said by name."""

import binascii

from panic.settings import SettingsError, load

# An authority on P-256 that signs nothing; made by gateway.broker.certificates.issue.
CA = (
    "MIIBkDCCATagAwIBAgIUXJI99F+8Sb5OlH39U10fVmBpuUQwCgYIKoZIzj0EAwIwFDESMBAGA1UEAwwJYXV0aG9yaXR5MB4X"
    "DTAwMDEwMTAwMDAwMFoXDTQ5MTIzMTIzNTk1OVowFDESMBAGA1UEAwwJYXV0aG9yaXR5MFkwEwYHKoZIzj0CAQYIKoZIzj0D"
    "AQcDQgAEQ+AywtL8rW0mMQW0MoblhWdjbWoVuYZXhU3Ocjy/kD35cC7kvfbJVC/ZBHg32B5LDufLiOhHRHc0CfK+va2f16Nm"
    "MGQwEgYDVR0TAQH/BAgwBgEB/wIBADAOBgNVHQ8BAf8EBAMCAQYwHQYDVR0OBBYEFIaVZpd9DL6u9CAhz0iU0UYcmyHZMB8G"
    "A1UdIwQYMBaAFIaVZpd9DL6u9CAhz0iU0UYcmyHZMAoGCCqGSM49BAMCA0gAMEUCIQDo2ZGDZ3A3Bu8PkUMH9WE6E6O48uX5"
    "TCoymKx09l0FmQIgdTcsJ3qUBpqKT/H1fDYDRPI09+fDtSMyd3e6gFunUBc="
)


class FilesDouble:
    def __init__(self, text, **more):
        self.found = {"/device.json": text.encode()}
        for name in more:
            self.found["/%s.der" % name] = more[name]

    def read(self, path):
        return self.found.get(path)


def loaded(wifi="", broker="", **more):
    text = """{"device": "0000a1b2", "root_key": "000102030405060708090a0b0c0d0e0f", "board": "devkit",
        "wifi": {"ssid": "shop", "password": "kata sandi"%s}, "broker": {"host": "10.0.0.1", "port": 8883%s}}"""
    return load(FilesDouble(text % (wifi, broker), **more))


def problem(wifi="", broker="", **more):
    try:
        loaded(wifi, broker, **more)
    except SettingsError as error:
        return str(error)
    raise AssertionError("accepted")


def test_what_may_be_left_out():
    settings = loaded()
    assert settings.wifi_networks == [("shop", "kata sandi")]
    assert (settings.broker_ssl, settings.broker_hostname, settings.broker_backup) == (None, None, None)
    assert settings.clock_floor_s == 0


def test_more_networks():
    settings = loaded(', "more": [{"ssid": "next door", "password": "12345678"}, {"ssid": "open"}]')
    assert settings.wifi_networks == [("shop", "kata sandi"), ("next door", "12345678"), ("open", "")]
    assert "each of wifi.more must be a table" in problem(', "more": [1]')
    assert "wifi.more must be a list of at most 7 networks" in problem(', "more": {}')
    assert "wifi.more.ssid must be a text of 1 to 32 letters" in problem(', "more": [{"password": "x"}]')


def test_tls_and_a_backup():
    settings = loaded("", ', "tls": {"ca": "%s", "hostname": "sigap-broker", "not_before": 1800000000}' % CA)
    assert settings.broker_ssl is not None
    assert (settings.broker_hostname, settings.clock_floor_s) == ("sigap-broker", 1800000000)
    settings = loaded("", ', "tls": {"ca": "/ca.der"}, "backup": {"host": "10.0.0.2"}', ca=binascii.a2b_base64(CA))
    assert settings.broker_backup == ("10.0.0.2", 8883, settings.broker_ssl, None)
    settings = loaded("", ', "backup": {"host": "10.0.0.2", "port": 1884}')
    assert settings.broker_backup == ("10.0.0.2", 1884, None, None)


def test_what_is_wrong_is_said():
    for broker, words in (
        (', "tls": 1', "broker.tls must be a table"),
        (', "tls": {}', "broker.tls.ca is missing"),
        (', "tls": {"ca": 1}', "broker.tls.ca must be base64 of DER, or the path"),
        (', "tls": {"ca": "/ca.der"}', "broker.tls.ca: the file /ca.der is missing"),
        (', "tls": {"ca": "AAAA"}', "broker.tls cannot be used: "),
        (', "tls": {"ca": "%s", "key": "AAAA"}' % CA, "it must be both"),
        (', "tls": {"ca": "%s", "hostname": 1}' % CA, "broker.tls.hostname must be a text of 1 to 253 letters"),
        (', "tls": {"ca": "%s", "not_before": -1}' % CA, "broker.tls.not_before must be a whole number"),
        (', "backup": 1', "broker.backup must be a table"),
        (', "backup": {}', "broker.backup.host must be a text of 1 to 253 letters"),
        (', "backup": {"host": "a", "port": 0}', "broker.backup.port must be a whole number from 1 to 65535"),
    ):
        assert words in problem("", broker), (broker, problem("", broker))
