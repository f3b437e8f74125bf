"""Puts a button together from its settings and its board. Needed once: main.py unloads it.

What is needed for a moment only comes first, and goes; what stays is loaded into the room that it leaves.
"""

import gc
import sys

import hal
import mqtt
import panic
import panic_wire
from panic import say
from panic.files import Files

AWAKE_HEARTBEAT_S = 300
# What must be free when all is loaded, so that a full journal fits beside what sleeps: tests/system/test_board_heap.py.
# A chip's objects are smaller than those of 64 bits, by 1.4.
LORA_BYTES = 48000 if sys.maxsize >> 32 else 34000  # what is loaded for it, and room for what comes and goes
SLEEPER_BYTES = 35000 if sys.maxsize >> 32 else 25000


def button():
    """The panic.app.App, or the base.station.Station of a board with /base.json.

    None when settings or board are wrong: the console says what, and nothing runs.
    """
    files = Files()
    if "base.json" in files.names("/"):
        from hal.start_base import station

        return station(files)
    try:
        settings = _load_settings(files)
        gc.collect()
        from hal.board import Board

        board = Board(settings.board, say)
    except ValueError as error:
        # SettingsError, BoardError. No reset: the console stays, so that a technician can write /device.json.
        say(str(error))
        return None
    settings.power = _power_mode(settings, board)
    if settings.power != "mains":
        if files.names("/journal"):
            # Alarms that come back from flash may not fit beside what sleeps: awake until they are closed.
            settings.power = "later"
        else:  # before anything else: later the heap may have the room, but not in one piece
            _load_sleeper(settings.power)
    gc.collect()
    from panic.app import App
    from panic.bearers import WifiBearer

    make_bearer = WifiBearer
    if settings.broker_ssl:
        from hal.tls import bearer as make_bearer
    gc.collect()
    if settings.power in ("light", "deep") and gc.mem_free() < SLEEPER_BYTES:
        # A button that runs out of memory in the middle of an alarm is worse than one that does not sleep.
        say(
            "power: mains instead of %s: %d bytes of RAM are left, %d are needed"
            % (settings.power, gc.mem_free(), SLEEPER_BYTES)
        )
        settings.power = "mains"
        settings.heartbeat_s = min(settings.heartbeat_s, AWAKE_HEARTBEAT_S)
        panic.unload("sleeper", "power", "kept")
        _unload(hal, "sleep", "deep")
    if settings.lora and not _radio(board):
        settings.lora = None
    return App(board, settings, files, make_bearer=make_bearer)  # pyright: ignore[reportArgumentType]


def _load_settings(files):
    from panic.settings import load

    try:
        return load(files, say)
    finally:
        # What checks them and derives keys has done its work; its RAM is worth more to the alarms.
        panic.unload("settings", "schema", "network_settings", "radio_settings")
        _unload(panic_wire, "keys")
        _unload(mqtt, "tls")


def _radio(board):
    """The board's LoRa radio is found; it may be absent all the same, which its bearer sees."""
    if not board.lora:
        say("lora: this board has no radio")
        return False
    # Both ways at once must fit: a button that runs out of memory in the middle of an alarm is worse than one way.
    gc.collect()
    if gc.mem_free() < LORA_BYTES:
        say("lora: not used, as %d bytes of RAM are left and %d are needed" % (gc.mem_free(), LORA_BYTES))
        return False
    from hal.lora import radio

    try:
        board.radio = radio(board.lora, board.pmu)
    except OSError as error:
        say("lora: the power chip does not answer (%s)" % error)
        return False
    return True


def _power_mode(settings, board):
    from panic.modes import mode_of

    try:
        return mode_of(settings, board, say)
    finally:
        panic.unload("modes")


def _load_sleeper(power):
    import panic.sleeper

    if power == "deep":
        import hal.deep
        import panic.kept  # noqa: F401
    else:
        import hal.sleep  # noqa: F401


def _unload(package, *names):
    for name in names:
        if hasattr(package, name):
            delattr(package, name)
            del sys.modules["%s.%s" % (package.__name__, name)]
