"""Compact statuses (CONTRACT.md, section 10): which of our frames each answers. Loaded when one comes."""

from panic import drop
from panic.notices import FRAMES, REF, TYPE
from panic_wire.compact import STATUS_MASK, is_status, statuses
from panic_wire.header import CANCEL, CLOSED, RECEIPT


def take(device, packet, now):
    """A packet of compact statuses, some perhaps for `device` (panic.device.Device). True when a stage changed."""
    changed = False
    settings = device.settings
    for stage, low, status in statuses(packet, settings.device):
        found = None
        if RECEIPT <= stage <= CLOSED:
            for answered, activation in _awaiting(device):
                if answered[1] & STATUS_MASK == low and is_status(
                    settings.downlink_key, status, stage, settings.device, answered[0], answered[1]
                ):
                    found = answered, activation
                    break
        if found is None:
            device.refuse("a compact status that answers none of ours")
        elif device.take_status(stage, found[0], found[1], now):
            changed = True
    drop("panic_wire", "compact")
    return changed


def _awaiting(device):
    """((epoch, counter), activation or 0) of the frames that may be answered, the newest alarm's first."""
    found = []
    for alarm in device.alarms:
        found = [(answered, alarm.activation) for answered in alarm.frames] + found
    for entry in device.notices.open:
        activation = entry[REF] if entry[TYPE] == CANCEL else 0
        found += [(answered, activation) for answered in entry[FRAMES]]
    if device.supervision.asked:
        found.append((device.supervision.asked[0], 0))
    return found
