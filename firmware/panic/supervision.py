"""Heartbeats: I am alive, and this is how I am. The gateway's receipt of one shows that the way works."""

from panic import FIRMWARE
from panic.ticks import ticks_add, ticks_diff
from panic_wire.bodies import pack_heartbeat


class Supervision:
    """When the next heartbeat is due, and how many have had no answer. Pure.

    settings: heartbeat_s is looked at. Waits are shortened by up to a tenth, so that a district of buttons which
    got its power back at the same moment does not speak at the same moment.
    """

    def __init__(self, settings, random_u32):
        self._settings = settings
        self._random_u32 = random_u32
        self._next = None
        self.unanswered = 0
        self.answers = 0  # of heartbeats, since the start
        self.asked = None  # ((epoch, counter), ticks) of the newest: what may be answered with the time
        self.lost_edges = 0  # when it was last looked (panic/watch.py)

    def up(self):
        """A bearer came up: the first heartbeat is due at once."""
        self._next = None

    def wait_ms(self, now):
        """Milliseconds until a heartbeat is due; 0 when it is."""
        return 0 if self._next is None else max(0, ticks_diff(self._next, now))

    def sent(self, now, frame_id):
        """One is on its way; frame_id: its (epoch, counter)."""
        self.asked = (frame_id, now)
        whole = self._settings.heartbeat_s * 1000
        self._next = ticks_add(now, whole - self._random_u32() % (whole // 10 + 1))
        self.unanswered += 1

    def receipted(self, frame_id):
        """The gateway has a frame that is of no alarm, and was sent since the start."""
        self.unanswered = 0
        if self.asked and self.asked[0] == frame_id:
            self.answers += 1

    def heartbeat(self, board, uptime_s, flags, open_alarms):
        """The body of a heartbeat as of now."""
        return pack_heartbeat(
            uptime_s,
            board.battery_mv(),
            board.rssi_dbm(),
            flags,
            FIRMWARE,
            board.reset_cause(),
            open_alarms,
            board.button.lost,
        )
