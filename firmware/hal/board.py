"""A whole board from its description in hal/boards (made from hardware/boards/*.toml)."""

import sys

from hal.button import Button
from hal.gps import Gps
from hal.lamp import Lamp
from hal.power import Power
from hal.wifi import Wifi


class BoardError(ValueError):
    """This firmware has no such board."""


def _parts(name):
    """The board's table. Its module goes again: what it says is needed once."""
    import hal.boards

    names = hal.boards.NAMES
    if name not in names:
        raise BoardError("board %r is unknown; this firmware has %s" % (name, ", ".join(names)))
    full = "hal.boards." + name
    parts = __import__(full, None, None, ("PARTS",)).PARTS
    del hal.boards, sys.modules[full], sys.modules["hal.boards"]
    return parts


class Board(Power):
    """button, lamp, gps and pmu (None where there is none), wifi, radio; feed, reset, reset_cause of Power.

    deep: how its presses are safe in deep sleep: "no", "hold", "counted".
    """

    def __init__(self, name, log=print):
        Power.__init__(self)
        parts = _parts(name)
        # First, so that a press while the rest is being set up is seen.
        self.button = Button(*parts["button"])
        if self.reset_cause() == 4:  # DEEPSLEEP_RESET
            from hal.deep import started

            started(self.button)
        self.deep = parts["sleep"][2]
        self.lamp = Lamp(*parts["lamp"])
        self._log = log
        self.pmu = self._battery = None
        if "pmu" in parts:
            from hal.pmu import Axp192

            try:
                self.pmu = self._battery = Axp192(*parts["pmu"])
            except OSError as error:
                # A button without its battery's voltage is still a button.
                log("trouble: the power chip does not answer (%s)" % error)
        elif "battery" in parts:
            from hal.battery import Battery

            self._battery = Battery(*parts["battery"])
        self.gps = Gps(*parts["gps"]) if "gps" in parts else None
        self.wifi = Wifi(log)
        self.lora = parts.get("lora")  # its pins; radio: what hal.lora makes of them, where it is wanted
        self.radio = None

    def battery_mv(self):
        """0: mains, no battery, or it cannot be measured."""
        if self._battery is None:
            return 0
        try:
            return self._battery.battery_mv()
        except OSError as error:
            self._log("trouble: the battery cannot be measured (%s)" % error)
            return 0

    def sleep(self, deep):
        """The hal.sleep.Sleep or hal.deep.Deep of this board; the others do not pay for its RAM."""
        if deep:
            from hal.deep import Deep as Sleep
        else:
            from hal.sleep import Sleep
        return Sleep(self)

    def is_open(self):
        """The case was opened. No board of this version has a contact for it."""
        return False

    def set_clock(self, unix_ms):
        """The gateway has told the time."""
        from hal import clock

        clock.told(unix_ms // 1000)

    def rssi_dbm(self):
        """Of the WiFi connection; 0 when there is none."""
        return self.wifi.rssi_dbm()
