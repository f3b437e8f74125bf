"""Every setting of a button: what firmware, provisioning and docs/firmware.md know of it comes from here.

`make generate` makes gateway/registry/device_settings.json and the table in docs/firmware.md. Loaded to check, then
unloaded.
"""

TEXT = "text"
HEX = "hex"
INT = "int"
BOOL = "bool"
CHOICE = "choice"

REQUIRED = None
ABSENT = ()  # may be left out, and then there is none

# name in /device.json, kind, least, most (letters of a text, digits of a hex; least of a choice: its words), default,
# unit, may be changed from afar
SCHEMA = (
    ("device", HEX, 8, 8, REQUIRED, "", False),
    ("root_key", HEX, 32, 32, REQUIRED, "", False),
    ("board", TEXT, 1, 32, REQUIRED, "", False),
    ("wifi.ssid", TEXT, 1, 32, REQUIRED, "", False),
    ("wifi.password", TEXT, 0, 64, "", "", False),
    ("wifi.keep_address", BOOL, 0, 1, False, "", False),
    ("broker.host", TEXT, 1, 253, REQUIRED, "", False),
    ("broker.port", INT, 1, 65535, 1883, "", False),
    ("silent", BOOL, 0, 1, False, "", True),
    ("vibrate_on_receipt", BOOL, 0, 1, False, "", True),
    ("cancel_is_duress", BOOL, 0, 1, False, "", True),
    ("fixed_site", BOOL, 0, 1, False, "", True),
    ("site.lat_e7", INT, -900000000, 900000000, ABSENT, "1e-7 degree", False),
    ("site.lon_e7", INT, -1800000000, 1800000000, ABSENT, "1e-7 degree", False),
    ("site.moved_m", INT, 50, 100000, 200, "m", False),
    ("power", CHOICE, ("mains", "light", "deep"), 0, "mains", "", False),
    ("hold_is_sos", BOOL, 0, 1, False, "", False),
    ("heartbeat_s", INT, 1, 86400, 300, "s", True),
    ("window_ms", INT, 500, 10000, 2000, "ms", False),
    ("gap_ms", INT, 200, 5000, 1000, "ms", False),
    ("battery_low_mv", INT, 0, 20000, 3500, "mV", True),
    ("battery_reserve_mv", INT, 0, 20000, 3400, "mV", True),
)
