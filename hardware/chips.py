"""What the pins of a chip can do, from its datasheet."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Chip:
    """Sets of GPIO numbers.

    pins: those that exist and are led out; flash: joined to the flash chip; psram: to the PSRAM, where there is one;
    straps: read at reset, and decide how the chip starts; input_only: no driver, no pull; wake: may end deep sleep
    (RTC GPIO); adc1; adc2: not to be read while WiFi is on; console: the REPL's, by which a board is flashed and
    provisioned. ext1_any_low: the chip wakes when any armed pin is low; else only when all are, so that one pin may
    be armed.
    """

    name: str
    pins: frozenset[int]
    flash: frozenset[int]
    psram: frozenset[int]
    straps: frozenset[int]
    input_only: frozenset[int]
    wake: frozenset[int]
    adc1: frozenset[int]
    adc2: frozenset[int]
    console: frozenset[int]
    ext1_any_low: bool
    uarts: int


def _set(*parts: int | range) -> frozenset[int]:
    return frozenset(number for part in parts for number in ([part] if isinstance(part, int) else part))


# ESP32 series datasheet v4.x: 2 (pins, strapping, RTC_GPIO), 4.9.1 (ADC); ESP32-WROVER datasheet: 16 and 17 are the
# PSRAM's. ESP-IDF, esp_sleep_enable_ext1_wakeup: on the ESP32 ALL_LOW and ANY_HIGH; on the ESP32-S3 ANY_LOW and
# ANY_HIGH.
ESP32 = Chip(
    name="esp32",
    pins=_set(range(20), range(21, 24), range(25, 28), range(32, 40)),
    flash=_set(range(6, 12)),
    psram=_set(16, 17),
    straps=_set(0, 2, 5, 12, 15),
    input_only=_set(range(34, 40)),
    wake=_set(0, 2, 4, range(12, 16), range(25, 28), range(32, 40)),
    adc1=_set(range(32, 40)),
    adc2=_set(0, 2, 4, range(12, 16), range(25, 28)),
    console=_set(1, 3),
    ext1_any_low=False,
    uarts=3,
)

# ESP32-S3 series datasheet v2.x: 2 (pins, strapping), 4.2.2 (ADC). 19 and 20 are the USB's, by which these boards are
# flashed; 26-32 the flash's; 33-37 the octal PSRAM's.
ESP32_S3 = Chip(
    name="esp32s3",
    pins=_set(range(22), range(26, 49)),
    flash=_set(range(26, 33)),
    psram=_set(range(33, 38)),
    straps=_set(0, 3, 45, 46),
    input_only=frozenset(),
    wake=_set(range(22)),
    adc1=_set(range(1, 11)),
    adc2=_set(range(11, 21)),
    console=_set(19, 20, 43, 44),
    ext1_any_low=True,
    uarts=3,
)

CHIPS = {chip.name: chip for chip in (ESP32, ESP32_S3)}
