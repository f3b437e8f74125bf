"""Names that people give: what they may look like, and what is said when they do not."""

from __future__ import annotations

import math
import re
import unicodedata

from gateway.words import LANGUAGES
from sigap.problem import USAGE, Problem

NAME_LIMIT = 64
_E7 = 10_000_000
_DEVICE = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class BadValue(Problem):
    """A value that the registry does not take. column: which, by the name that it has in a CSV file."""

    def __init__(self, column: str, what: str, todo: str = "") -> None:
        super().__init__(what, todo, USAGE)
        self.column = column


def device_name_of(text: str) -> str:
    """A device's name is typed in commands and printed on labels: only a-z, 0-9, dot, hyphen, underscore."""
    if not _DEVICE.fullmatch(text):
        raise BadValue(
            "name",
            f"the device name {text!r} does not fit",
            "Use 1 to 64 of a-z, 0-9, dot, hyphen and underscore, a letter or digit first, such as shop-1",
        )
    return text


def person_name_of(text: str, what: str, column: str = "name") -> str:
    """A person's or shop's name: any script, trimmed, composed (NFC), 1 to 64 characters, nothing
    invisible."""
    name = unicodedata.normalize("NFC", " ".join(text.split()))
    if not name or len(name) > NAME_LIMIT or any(unicodedata.category(letter)[0] == "C" for letter in name):
        raise BadValue(
            column,
            f"the {what} name {text[:80]!r} does not fit",
            f"Use 1 to {NAME_LIMIT} printable characters",
        )
    return name


def language_of(text: str) -> str:
    """A language that Sigap speaks."""
    if text not in LANGUAGES:
        raise BadValue("language", f"the language {text!r} is unknown", f"Use one of {', '.join(LANGUAGES)}")
    return text


def position_of(lat: float | None, lon: float | None, whose: str) -> tuple[int | None, int | None]:
    """Degrees as degrees times 1e7; both, or none. whose: "site's" or "unit's"."""
    if lat is None and lon is None:
        return None, None
    if lat is None or lon is None:
        column = "lat" if lat is None else "lon"
        raise BadValue(column, f"the {whose} position is half given", "Give latitude and longitude, or neither")
    for column, what, value, limit in (("lat", "latitude", lat, 90), ("lon", "longitude", lon, 180)):
        if not (math.isfinite(value) and -limit <= value <= limit):
            todo = f"Give degrees from -{limit} to {limit}"
            raise BadValue(column, f"the {whose} {what} {value} is not on Earth", todo)
    return round(lat * _E7), round(lon * _E7)
