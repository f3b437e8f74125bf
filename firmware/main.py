# Starts the button. Everything else is in /panic, /hal, /mqtt and /panic_wire, as .mpy files.
import sys

from hal.board import Board
from panic.app import App, say
from panic.files import Files


def load_settings(files):
    import panic.settings
    import panic_wire.keys

    try:
        return panic.settings.load(files, say)
    finally:
        # What checks them and derives keys has done its work; its RAM is worth more to the alarms.
        panic.unload("settings", "schema")
        del panic_wire.keys, sys.modules["panic_wire.keys"]


def main():
    files = Files()
    try:
        settings = load_settings(files)
        board = Board(settings.board, say)
    except ValueError as error:
        # SettingsError, BoardError. No reset: the console stays, so that a technician can write /device.json.
        say(str(error))
        return
    App(board, settings, files).run()


main()
