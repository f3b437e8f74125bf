"""A whole board from its description in boards.py (made from hardware/boards/*.toml)."""

from hal.boards import BOARDS
from hal.button import Button
from hal.gps import Gps
from hal.lamp import Lamp
from hal.power import Power
from hal.wifi import Wifi


class BoardError(ValueError):
    """This firmware has no such board."""


class Board(Power):
    """button, lamp, gps (None where there is none), wifi; feed, reset, reset_cause, battery_mv of Power.

    counts_presses: its hardware counts presses in deep sleep. default_power: the mode when the settings have none.
    """

    def __init__(self, name, log=print):
        Power.__init__(self)
        if name not in BOARDS:
            raise BoardError("board %r is unknown; this firmware has %s" % (name, ", ".join(sorted(BOARDS))))
        parts = BOARDS[name]
        # First, so that a press while the rest is being set up is seen.
        button = parts["button"]
        self.button = Button(button["pin"], button["pull"] == "up", button["active_low"])
        if self.woke_by_contact():
            self.button.started()
        self.counts_presses = button.get("counts_presses", False)
        self.default_power = "light" if "battery" in parts else "mains"
        self.lamp = Lamp(
            parts["led"]["pin"],
            parts["buzzer"]["pin"] if "buzzer" in parts else None,
            parts["led"]["active_high"],
        )
        gps = parts.get("gps")
        self.gps = Gps(gps["uart"], gps["rx"], gps["tx"], gps["baud"]) if gps else None
        self.wifi = Wifi(log)

    def sleep(self, deep):
        """The hal.sleep.Sleep or hal.deep.Deep of this board; the others do not pay for its RAM."""
        if deep:
            from hal.deep import Deep as Sleep
        else:
            from hal.sleep import Sleep
        return Sleep(self)

    def rssi_dbm(self):
        """Of the WiFi connection; 0 when there is none."""
        return self.wifi.rssi_dbm()
