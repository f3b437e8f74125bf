"""What is looked at with a heartbeat: is something not as it should be? Loaded for it, then unloaded."""

from panic_wire.bodies import (
    BATTERY_LOW,
    CLOCK_UNKNOWN,
    EDGES_LOST,
    FLASH_FAILING,
    GPS_SILENT,
    NETWORK,
    NO_NAME_SERVER,
    NO_NETWORK,
    PASSWORD_REFUSED,
    PORTAL_ANSWERS,
    TAMPER,
)
from panic_wire.header import TROUBLE

BATTERY_ROOM_MV = 100  # so far above "low" it is low no more
GPS_SILENT_S = 60
CLOCK_ANSWERS = 3  # answered heartbeats without the time


def no_way(device, wifi, cause, now):
    """There has been no way to the gateway for a while; told afterwards. cause: of the MQTT client."""
    value = NO_NETWORK
    if wifi.trouble == "portal" or cause == "http":
        value = PORTAL_ANSWERS
    elif wifi.trouble == "password":
        value = PASSWORD_REFUSED
    elif cause == "name":
        value = NO_NAME_SERVER
    device.trouble(NETWORK, True, value, now)


def watch(device, board, now):
    """Begin and end troubles."""
    low_mv, battery_mv = device.settings.battery_low_mv, board.battery_mv()
    if device.notices.find(TROUBLE, BATTERY_LOW):
        low_mv += BATTERY_ROOM_MV
    device.trouble(BATTERY_LOW, 0 < battery_mv < low_mv, battery_mv, now)
    if board.gps:
        silent_s = device.position.silent_s(now)
        if silent_s is None:
            # A mounted button may have none: its board could carry one.
            silent_s = 0 if device.settings.fixed_site else device.up_since.ms(now) // 1000
        device.trouble(GPS_SILENT, silent_s >= GPS_SILENT_S, silent_s, now)
    device.trouble(CLOCK_UNKNOWN, not device.clock_known and device.supervision.answers >= CLOCK_ANSWERS, 0, now)
    error = device.counter.failed or device.flash_error
    device.trouble(FLASH_FAILING, error, error, now)
    device.trouble(TAMPER, board.is_open(), 0, now)
    lost = board.button.lost
    device.trouble(EDGES_LOST, lost > device.supervision.lost_edges, lost, now)
    device.supervision.lost_edges = lost
