"""The way back from the backup broker to the first. Loaded only when there is a backup and it is in use."""

import asyncio

from .link import Link
from .ticks import ticks_diff, ticks_ms

_IDLE_POLL_S = 0.1


async def look_for_first(client, link):
    """Tries the first broker again and again; ends `link`, which works, only for a line on which the first said yes.

    And never while something unacknowledged is under way: that would have to be sent again.
    """
    while True:
        await asyncio.sleep(client.first_again_ms * (0.75 + client.random() / 4) / 1000)
        if client.out.items or not link.is_up:
            continue
        first = Link(client, client.peers[0])
        try:
            good = await first.open()
            since = ticks_ms()
            while good and client.out.items and ticks_diff(ticks_ms(), since) < client.timeout_ms:
                await asyncio.sleep(_IDLE_POLL_S)
            if good and not client.out.items and link.down is None:
                client.first, first = first, None
                link.leave()
                return
        finally:
            if first:
                first.abort()
