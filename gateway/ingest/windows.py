"""The replay windows in the store: which counters of each (device, epoch) were seen, and which epoch is the
newest.

A device draws a new epoch when it has lost its counters; and when its flash refuses them, an epoch that only RAM
knows, so that it is back in the former one after its next start, in a block of counters that it had not begun. So the
epochs of a device are ordered by `updated_at`: it moves on for the newest, and for a former one that reaches a further
block, which is the newest then. A frame of a former epoch that merely comes late (it is accepted once, like any other)
leaves its window's `updated_at` alone.
A window is never removed: without it, everything captured in its epoch could be played again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa

from gateway.store.prepared import prepared
from gateway.store.schema import replay_windows as table
from panic_wire.replay import ReplayWindow

WIDTH = 256
BITMAP_BYTES = WIDTH // 8
BLOCK = 64  # counters that a device reserves at once (panic_wire/CONTRACT.md, section 4)
LOADED_AT_ONCE = 500  # SQLite takes 32,766 parameters, PostgreSQL as many


@dataclass
class _Kept:
    window: ReplayWindow
    updated_at: int
    stored: bool
    changed: bool = False


class Windows:
    """The windows of the devices in one batch; flush() writes them in the batch's transaction."""

    def __init__(self, conn: sa.Connection) -> None:
        self._conn = conn
        self._kept: dict[int, dict[int, _Kept]] = {}

    def load(self, device_ids: Iterable[int]) -> None:
        """Read the windows of these devices; those at hand are not read again."""
        wanted = [device_id for device_id in set(device_ids) if device_id not in self._kept]
        for start in range(0, len(wanted), LOADED_AT_ONCE):
            some = wanted[start : start + LOADED_AT_ONCE]
            for device_id in some:
                self._kept[device_id] = {}
            if len(some) == 1:
                found = self._conn.execute(_LOAD_ONE, {"device": some[0]})
            else:
                found = self._conn.execute(_LOAD, {"devices": some})
            for row in found:
                window = ReplayWindow(row.highest, int.from_bytes(row.bitmap, "big"), WIDTH)
                self._kept[row.device_id][row.epoch] = _Kept(window, row.updated_at, stored=True)

    def check_and_set(self, device_id: int, epoch: int, counter: int, now_us: int) -> bool:
        """True when this counter is new in its epoch; it is remembered then."""
        self.load((device_id,))
        epochs = self._kept[device_id]
        newest = max((kept.updated_at for kept in epochs.values()), default=0)
        kept = epochs.get(epoch)
        if kept is None:
            # Strictly later than every other, even when the clock was set back.
            newest = max(now_us, newest + 1)
            kept = epochs[epoch] = _Kept(ReplayWindow(width=WIDTH), newest, stored=False)
        before = kept.window.highest or 0
        if not kept.window.check_and_set(counter):
            return False
        if kept.updated_at == newest:
            kept.updated_at = max(now_us, kept.updated_at)
        elif counter // BLOCK > before // BLOCK:
            kept.updated_at = max(now_us, newest + 1)
        kept.changed = True
        return True

    def seen(self, device_id: int) -> list[tuple[int, int]]:
        """[(epoch, greatest counter)] of a device, the newest epoch first."""
        self.load((device_id,))
        found = sorted(self._kept[device_id].items(), key=lambda item: -item[1].updated_at)
        return [(epoch, kept.window.highest or 0) for epoch, kept in found]

    def is_later(self, device_id: int, frame: tuple[int, int], known: tuple[int, int]) -> bool:
        """Whether the frame (epoch, counter) was sealed after the known one of the same device."""
        if frame[0] == known[0]:
            return frame[1] > known[1]
        epochs = self._kept[device_id]
        other = epochs.get(known[0])
        return other is None or epochs[frame[0]].updated_at > other.updated_at

    def flush(self) -> None:
        """Write every window that changed."""
        inserts, updates = [], []
        for device_id, epochs in self._kept.items():
            for epoch, kept in epochs.items():
                if not kept.changed:
                    continue
                values = {
                    "highest": kept.window.highest,
                    "bitmap": kept.window.bitmap.to_bytes(BITMAP_BYTES, "big"),
                    "updated_at": kept.updated_at,
                }
                if kept.stored:
                    updates.append({"for_device": device_id, "for_epoch": epoch, **values})
                else:
                    inserts.append({"device_id": device_id, "epoch": epoch, **values})
                kept.stored, kept.changed = True, False
        if inserts:
            self._conn.execute(_INSERT, inserts)
        if updates:
            self._conn.execute(_UPDATE, updates)


_LOAD = sa.select(table).where(table.c.device_id.in_(sa.bindparam("devices", expanding=True)))
_LOAD_ONE = prepared(sa.select(table).where(table.c.device_id == sa.bindparam("device")))
_INSERT = prepared(table.insert())
_UPDATE = prepared(
    table.update()
    .where(table.c.device_id == sa.bindparam("for_device"), table.c.epoch == sa.bindparam("for_epoch"))
    .values(highest=sa.bindparam("highest"), bitmap=sa.bindparam("bitmap"), updated_at=sa.bindparam("updated_at"))
)
