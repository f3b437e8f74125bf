"""The message that a relative reads."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import pytest

from gateway.relatives.message import compose

JAKARTA = ZoneInfo("Asia/Jakarta")


def data(**more: Any) -> dict[str, Any]:
    return {
        "owner": {"name": "Toko contoh", "language": "id", "registered_message": "Tolong, ada perampok di toko."},
        "test": False,
        "silent": False,
        "site": "Simpang Lima",
        "opened_at": "2026-11-24T03:40:48.123Z",
        "disposition": None,
        "alarms": [{"pressed_at": "2026-11-24T03:40:50.000Z"}, {"pressed_at": "2026-11-24T03:40:48.000Z"}],
        "position": {"lat": -6.9932, "lon": 110.4203, "accuracy_m": 5},
        **more,
    }


def test_a_test_says_so_first() -> None:
    title, body = compose("opened", data(test=True, silent=True), JAKARTA)
    assert title == "Sigap: uji coba tombol darurat Toko contoh"
    assert (
        body.splitlines()[0] == "Ini hanya uji coba: tidak ada yang dalam bahaya, dan tidak ada petugas yang dikirim."
    )
    assert "perampok" not in body


def test_the_alarm_in_bahasa_indonesia() -> None:
    title, body = compose("opened", data(), JAKARTA)
    assert title == "Sigap: Toko contoh menekan tombol darurat"
    assert body.splitlines() == [
        "Tolong, ada perampok di toko.",
        "",
        "Ditekan: 24 November 2026 10.40.48 WIB",
        "Tempat: Simpang Lima",
        "Posisi: -6.99320, 110.42030, ketelitian 5 m",
        "Peta: https://www.openstreetmap.org/?mlat=-6.99320&mlon=110.42030#map=17/-6.99320/110.42030",
        "",
        "Pesan ini dikirim oleh Sigap, sistem tombol darurat kepolisian.",
    ]


def test_in_english_silent_and_without_a_position() -> None:
    owner = {"name": "A", "language": "en", "registered_message": None}
    nowhere = {"lat": None, "lon": None, "accuracy_m": None}
    title, body = compose("opened", data(owner=owner, silent=True, site=None, position=nowhere), JAKARTA)
    assert title == "Sigap: A pressed the emergency button"
    assert "I pressed my emergency button" in body
    assert "Do not call" in body
    assert "Position: not known yet" in body
    assert "Map" not in body


@pytest.mark.parametrize(
    ("change", "disposition", "words"),
    [
        ("dispatched", None, "Polisi telah mengirim petugas"),
        ("closed", "genuine", "pertolongan sudah diberikan"),
        ("closed", "false", "alarm palsu"),
        ("closed", "exercise", "latihan"),
    ],
)
def test_what_follows(change: str, disposition: str | None, words: str) -> None:
    _, body = compose(change, data(disposition=disposition), JAKARTA)
    assert words in body
    assert "perampok" not in body  # the cry for help is not repeated


def test_braces_and_markup_stay_what_they_are() -> None:
    owner = {"name": "{0} <b>", "language": "id", "registered_message": "<script>{name}</script>"}
    title, body = compose("opened", data(owner=owner), JAKARTA)
    assert "{0} <b>" in title
    assert body.startswith("<script>{name}</script>")
