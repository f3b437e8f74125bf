"""Puts a button together from its settings and its board. Needed once: main.py unloads it.

What is needed for a moment only comes first, and goes; what stays is loaded into the room that it leaves.
"""

import gc
import sys

import mqtt
import panic
import panic_wire
from panic import say
from panic.files import Files


def button():
    """The panic.app.App; None when settings or board are wrong: the console says what, and nothing runs."""
    files = Files()
    try:
        settings = _load_settings(files)
        gc.collect()
        from hal.board import Board

        board = Board(settings.board, say)
    except ValueError as error:
        # SettingsError, BoardError. No reset: the console stays, so that a technician can write /device.json.
        say(str(error))
        return None
    gc.collect()
    from panic.app import App
    from panic.bearers import WifiBearer

    make_bearer = WifiBearer
    if settings.broker_ssl:
        from hal.tls import bearer as make_bearer
    gc.collect()
    return App(board, settings, files, make_bearer=make_bearer)  # pyright: ignore[reportArgumentType]


def _load_settings(files):
    from panic.settings import load

    try:
        return load(files, say)
    finally:
        # What checks them and derives keys has done its work; its RAM is worth more to the alarms.
        panic.unload("settings", "schema", "network_settings")
        for package, name in ((panic_wire, "keys"), (mqtt, "tls")):
            if hasattr(package, name):
                delattr(package, name)
                del sys.modules["%s.%s" % (package.__name__, name)]
