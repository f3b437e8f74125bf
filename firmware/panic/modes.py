"""Which power mode a button has. Loaded, asked once at the start, and let go."""

MAINS = "mains"  # never sleeps, always connected
LIGHT = "light"  # sleeps whenever nothing is to be done; any press wakes it and is seen
DEEP = "deep"  # the same, but RAM is lost and presses in the 0.7 s of its start are not seen


def mode_of(settings, board, log):
    """The mode of this board with these settings. One that may not be is refused, with the reason, for LIGHT."""
    mode = settings.power or MAINS
    if mode == DEEP and board.deep != "counted" and (board.deep == "no" or not settings.hold_is_sos):
        # "hold": a hold of 2 s, which outlasts the start, is the same SOS there.
        log("power: light instead of deep: presses would be lost (this board's deep sleep: %s)" % board.deep)
        return LIGHT
    return mode
