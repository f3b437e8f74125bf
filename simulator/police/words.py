"""The page's words: Bahasa Indonesia first, English second. The code's own words stay in the code."""

from __future__ import annotations

import time
from datetime import datetime

WORDS = {
    "open": "baru / open",
    "accepted": "diterima / accepted",
    "acknowledged": "dilihat petugas / acknowledged",
    "dispatched": "unit berangkat / dispatched",
    "on_scene": "di lokasi / on scene",
    "closed": "selesai / closed",
    "genuine": "benar / genuine",
    "false": "alarm palsu / false",
    "test": "uji coba / test",
    "exercise": "latihan / exercise",
    "unfounded": "tidak terbukti / unfounded",
    "mistake": "bilang salah tekan: telepon balik / says it was a mistake: call back",
    "duress": "DIPAKSA membatalkan: jangan menelepon / DURESS, made to cancel: do not call",
    "still_in_danger": "ditekan lagi setelah dibatalkan / pressed again after a cancel",
    "gps": "GPS",
    "site": "lokasi terpasang / site",
}


def on_page(said: object) -> str:
    """A word of the contract as people read it; what is not in the list stays as it is."""
    return WORDS.get(str(said), str(said))


def clock(at_ms: float) -> str:
    """Unix milliseconds as this machine's time of day."""
    return time.strftime("%H:%M:%S", time.localtime(at_ms / 1000))


def clock_of(rfc3339: object) -> str:
    """A time of the contract as this machine's time of day; what is not a time stays as it is."""
    try:
        return clock(datetime.fromisoformat(str(rfc3339)).timestamp() * 1000)
    except ValueError:
        return str(rfc3339)
