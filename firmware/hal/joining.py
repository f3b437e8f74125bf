"""Getting onto one WiFi of several, or with the address of last time. wifi.py loads this for that and unloads it.

Nothing here blocks but a scan, which stops everything for two seconds or more: so there is one only when every network
has failed, and then seldom. Whether a network is in the air the driver says by itself when it tries to join.
"""

import asyncio
import json

from panic.files import Files

PATH = "/state/wifi"
JOIN_MS = 20000  # for the only network there is: the driver tries again and again by itself
TURN_MS = 8000  # for one of several
FAST_MS = 5000  # with what is known of last time
AGAIN_MS = 4000  # after a loss, for the driver alone
REST_MS = 2000
SCAN_EVERY = 20  # rounds in which every network failed


async def join(wifi, networks, keep_address, again):
    """Returns when connected. again: it was, and the driver is trying by itself."""
    wlan = wifi.wlan
    only = len(networks) == 1
    # With one network and DHCP there is nothing to remember.
    hint = _load() if keep_address or not only else None
    passwords = dict(networks)
    if wifi.avoid:
        networks = [each for each in networks if each[0] != wifi.avoid] + [(wifi.avoid, passwords[wifi.avoid])]
    if again and not wifi.stale and await wifi.joined(JOIN_MS if only else AGAIN_MS, only):
        return
    if hint and hint["ssid"] in passwords and not again and not wifi.avoid and not wifi.stale:
        address = hint["address"] if keep_address else None
        bssid = bytes(hint["bssid"])
        if await _try(wifi, hint["ssid"], passwords[hint["ssid"]], bssid, hint["channel"], address, FAST_MS):
            return
    rounds = 0
    known = {}  # ssid: (bssid, channel), by a scan
    while True:
        for ssid, password in networks:
            bssid, channel = known.get(ssid, (b"", 0))
            if await _try(wifi, ssid, password, bssid, channel, None, JOIN_MS if only else TURN_MS, only):
                if (keep_address or not only) and ssid != wifi.avoid:
                    _save(wifi, hint, ssid, bssid, channel)
                return
        wifi.log("wifi: no connection (%s); starting the radio again" % wifi.trouble)
        wlan.active(False)
        await asyncio.sleep(REST_MS / 1000)
        if not only and rounds % SCAN_EVERY == 0:
            known = _scan(wifi, passwords)
        rounds += 1


async def _try(wifi, ssid, password, bssid, channel, address, limit_ms, patient=False):
    """One network. True when connected."""
    wlan = wifi.wlan
    wifi.ssid = ssid
    try:
        wlan.active(True)
        wlan.disconnect()
        if address or wifi.stale:
            wlan.ifconfig(tuple(address) if address else "dhcp")
            wifi.stale = False
        if channel:
            wlan.config(channel=channel)
        if bssid:
            wlan.connect(ssid, password, bssid=bssid)
        else:
            wlan.connect(ssid, password)
    except (OSError, RuntimeError, ValueError) as error:
        # "Wifi Internal State Error": the radio is switched off and on when all have failed.
        wifi.log("wifi: %s" % error)
    up = await wifi.joined(limit_ms, patient)
    wifi.borrowed = bool(up and address)
    wifi.stale = bool(address and not up)
    return up


def _scan(wifi, passwords):
    """{ssid: (bssid, channel)} of the strongest access point of each of our networks."""
    found = {}
    try:
        wifi.wlan.active(True)
        seen = wifi.wlan.scan()
    except (OSError, RuntimeError) as error:
        wifi.log("wifi: scan: %s" % error)
        return found
    seen.sort(key=lambda each: each[3])
    for each in seen:
        try:
            ssid = each[0].decode()
        except UnicodeError:
            continue  # none of ours
        if ssid in passwords:
            found[ssid] = (bytes(each[1]), each[2])
    wifi.log("wifi: %d access points in the air, %d networks of ours" % (len(seen), len(found)))
    return found


def _load():
    """What is known of the last good connection, or None."""
    try:
        hint = json.loads(Files().read(PATH) or b"null")
        return hint if hint is None or {"ssid", "bssid", "channel", "address"} <= set(hint) else None
    except (OSError, ValueError, TypeError):
        return None


def _save(wifi, old, ssid, bssid, channel):
    """Flash is written when something has changed, and only then."""
    new = {"ssid": ssid, "bssid": list(bssid), "channel": channel, "address": list(wifi.wlan.ifconfig())}
    if new == old:
        return
    try:
        Files().make_directory("/state")
        Files().write(PATH, json.dumps(new).encode())
    except OSError as error:
        wifi.log("wifi: %s could not be written (%s)" % (PATH, error))
