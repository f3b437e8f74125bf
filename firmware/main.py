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
        return load(files)
    finally:
        # What checks them and derives keys has done its work; its RAM is worth more to the alarms.
        for package, name in ((panic, "settings"), (panic, "network_settings"), (panic_wire, "keys"), (mqtt, "tls")):
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


def power_mode(settings, board):
    from panic.modes import mode_of

    try:
        return mode_of(settings, board, say)
    finally:
        del panic.modes, sys.modules["panic.modes"]  # pyright: ignore[reportAttributeAccessIssue]


def load_sleeper(files):
    # Before anything else comes and goes: later the heap may have the room, but not in one piece.
    data = files.read("/device.json") or b""
    if (b'"light"' in data or b'"deep"' in data) and not files.names("/journal"):
        import hal.sleep  # noqa: F401
        import panic.sleeper  # noqa: F401


def main():
    files = Files()
    load_sleeper(files)
    try:
        settings = load_settings(files)
        board = Board(settings.board, say)
        settings.power = power_mode(settings, board)
        if settings.power != "mains" and files.names("/journal"):
            # Alarms that come back from flash do not fit beside what sleeps: awake until they are closed.
            settings.power = "later"
    except ValueError as error:
        # SettingsError, BoardError. No reset: the console stays, so that a technician can write /device.json.
        say(str(error))
        return
    gc.collect()  # what stays from here on should lie where the settings' checks were
    App(board, settings, files, make_bearer=make_bearer if settings.broker_ssl else WifiBearer).run()  # pyright: ignore[reportArgumentType]


main()
