"""An alarm's life: sending, receipt, accepted, acknowledged, dispatched, on scene, closed.

Stages only go forward, and only a sealed status frame moves them (device.py opens it and checks the epoch).
"""

from panic_wire.header import RECEIPT

SENDING = 0


class Alarm:
    """One activation as the button remembers it.

    age: panic.ticks.Elapsed since the third press. age_is_minimum: power was lost since.
    position: (lat_e7, lon_e7, accuracy_m, fix_age_s) at the press, or None. stage: SENDING, or a stage of panic_wire.
    resumed: it comes from the journal. test: a test alarm; it lives in RAM only, and as long as test mode.
    """

    # Of a button with LoRa: (epoch, counter) of its last frames, ticks of the next try (None: now), how many there were
    frames = ()
    lora_at = None
    lora_tries = 0

    def __init__(self, activation, age, gesture, position, stage=SENDING, resumed=False, age_is_minimum=False):
        self.test = False
        self.activation = activation
        self.gesture = gesture
        self.age = age
        self.position = position
        self.stage = stage
        self.age_is_minimum = age_is_minimum
        # A frame of it may have left before.
        self.repeated = resumed
        self.on_flash = resumed
        self.tries = 0
        self.next_try = None
        self.attempt = None  # the task that carries a frame of it, while it does
        self.must_announce = True

    def is_unreceipted(self):
        """Nothing but a receipt (or what comes after it) ends the sending."""
        return self.stage < RECEIPT

    def announce(self):
        """It is due now, and again soon."""
        self.must_announce = True
        self.next_try = None
        self.tries = 0


class Alarms:
    """The alarms in RAM that are not closed, oldest first."""

    def __init__(self):
        self._alarms = []

    def __iter__(self):
        return iter(self._alarms)

    def __len__(self):
        return len(self._alarms)

    def add(self, alarm):
        """Add one, in the order of activations."""
        at = len(self._alarms)
        while at and self._alarms[at - 1].activation > alarm.activation:
            at -= 1
        self._alarms.insert(at, alarm)

    def find(self, activation):
        """The Alarm, or None."""
        for alarm in self._alarms:
            if alarm.activation == activation:
                return alarm
        return None

    def remove(self, alarm):
        """Forget it."""
        self._alarms.remove(alarm)

    def remove_tests(self):
        """Forget every test alarm."""
        self._alarms = [alarm for alarm in self._alarms if not alarm.test]

    def newest(self):
        """The newest open alarm, whose stage the light shows; None when there is none."""
        return self._alarms[-1] if self._alarms else None
