"""/base.json: {"base": "b0000001", "board": "tbeam", "lora": {"plan": [[921400000, 9, 921800000]]}}."""

import json

PATH = "/base.json"


class Settings:
    """base: its id, an int; board; lora: (plan of one row, power_dbm, heartbeat_s)."""


def load(files):
    """The Settings in /base.json; ValueError with all that is wrong."""
    data = files.read(PATH)
    try:
        values = json.loads(data.decode())
    except ValueError as error:
        raise ValueError("%s is not JSON (%s): provision this base station again" % (PATH, error))
    return check(values)


def check(values):
    """The Settings in a parsed /base.json; ValueError with all that is wrong."""
    if not isinstance(values, dict):
        raise ValueError("%s must be a table" % PATH)
    from panic import radio_settings

    found = Settings()
    problems = radio_settings.load(found, values.get("lora", {}), "base")
    name = values.get("base")
    try:
        found.base = int(name, 16) if isinstance(name, str) and len(name) == 8 else -1
    except ValueError:
        found.base = -1
    if not 0 <= found.base <= 0xFFFFFFFF:
        problems.append("base must be 8 hex digits")
    found.board = values.get("board")
    if not isinstance(found.board, str):
        problems.append("board must be a text")
    if problems:
        raise ValueError("%s: %s" % (PATH, "; ".join(problems)))
    return found
