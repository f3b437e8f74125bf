# Starts the button. Everything else is in /panic, /hal, /mqtt and /panic_wire, as .mpy files.
import sys

import panic
import panic_wire
from hal.board import Board
from panic.app import App, say
from panic.files import Files


def load_settings(files):
    from panic.settings import load

    try:
        return load(files)
    finally:
        # What checks them and derives keys has done its work; its RAM is worth more to the alarms.
        del panic.settings, sys.modules["panic.settings"]
        del panic_wire.keys, sys.modules["panic_wire.keys"]


def power_mode(settings, board):
    from panic.modes import mode_of

    mode = mode_of(settings, board, say)
    del panic.modes, sys.modules["panic.modes"]
    return mode


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
    App(board, settings, files).run()


main()
