"""Puts a base station together from /base.json and its board."""

import gc
import os

import panic
from base.settings import load
from hal.board import Board
from hal.console import Console
from hal.lora import radio
from panic import say


def random_u32():
    """From the hardware's source of randomness."""
    return int.from_bytes(os.urandom(4), "big")


def station(files):
    """The base.station.Station; None when settings or board are wrong: the console says what."""
    try:
        settings = load(files)
        panic.unload("radio_settings")
        board = Board(settings.board, say)  # pyright: ignore[reportAttributeAccessIssue]
        if not board.lora:
            raise ValueError("the board %s has no LoRa radio" % settings.board)  # pyright: ignore[reportAttributeAccessIssue]
        board.radio = radio(board.lora, board.pmu)  # pyright: ignore[reportAttributeAccessIssue]
    except (ValueError, OSError) as error:
        say(str(error))
        return None
    gc.collect()
    from base.station import Station

    return Station(board, settings, Console(), files, random_u32, say)
