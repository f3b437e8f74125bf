"""Heartbeats: I am alive, and this is how I am. The gateway's receipt of one shows that the way works."""

from panic import FIRMWARE
from panic.ticks import ticks_add, ticks_diff
from panic_wire.bodies import FIXED_SITE, HAS_FIX, SILENT, pack_heartbeat


class Supervision:
    """When the next heartbeat is due, and how many have had no answer. Pure.

    heartbeat_s: from the settings. Waits are shortened by up to a tenth, so that a district of buttons which
    got its power back at the same moment does not speak at the same moment.
    """

    def __init__(self, heartbeat_s, random_u32):
        self._heartbeat_ms = heartbeat_s * 1000
        self._random_u32 = random_u32
        self._next = None
        self.unanswered = 0
        self.lost_edges = 0
        self.stuck = False

    def up(self):
        """A bearer came up: the first heartbeat is due at once."""
        self._next = None

    def wait_ms(self, now):
        """Milliseconds until a heartbeat is due; 0 when it is."""
        return 0 if self._next is None else max(0, ticks_diff(self._next, now))

    def sent(self, now):
        """One is on its way."""
        spread = self._heartbeat_ms // 10
        self._next = ticks_add(now, self._heartbeat_ms - self._random_u32() % (spread + 1))
        self.unanswered += 1

    def receipted(self):
        """The gateway has it."""
        self.unanswered = 0

    def heartbeat(self, settings, board, uptime_s, has_fix, open_alarms):
        """The body of a heartbeat as of now."""
        flags = (SILENT if settings.silent else 0) | (FIXED_SITE if settings.fixed_site else 0)
        return pack_heartbeat(
            uptime_s,
            board.battery_mv(),
            board.rssi_dbm(),
            flags | (HAS_FIX if has_fix else 0),
            FIRMWARE,
            board.reset_cause(),
            open_alarms,
            self.lost_edges,
        )
