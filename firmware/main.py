# Starts the button. Everything else is in /panic, /hal, /mqtt and /panic_wire, as .mpy files.
import gc
import sys

import mqtt
import panic
import panic_wire
from hal.board import Board
from panic.app import App, say
from panic.bearers import WifiBearer
from panic.files import Files


def load_settings(files):
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


def make_bearer(settings, *rest):
    """Over TLS, which asks what the date is."""
    from hal import clock

    clock.at_least(settings.clock_floor_s)
    bearer = WifiBearer(settings, *rest)
    bearer.on_early = clock.forward  # pyright: ignore[reportAttributeAccessIssue]
    return bearer


def main():
    files = Files()
    try:
        settings = load_settings(files)
        board = Board(settings.board, say)
    except ValueError as error:
        # SettingsError, BoardError. No reset: the console stays, so that a technician can write /device.json.
        say(str(error))
        return
    gc.collect()  # what stays from here on should lie where the settings' checks were
    App(board, settings, files, make_bearer=make_bearer if settings.broker_ssl else WifiBearer).run()  # pyright: ignore[reportArgumentType]


main()
