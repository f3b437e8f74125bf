"""Names that people give: what they may look like, and what is said when they do not."""

from __future__ import annotations

import re
import unicodedata

from sigap.problem import USAGE, Problem

NAME_LIMIT = 64
_DEVICE = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def device_name_of(text: str) -> str:
    """A device's name is typed in commands and printed on labels: only a-z, 0-9, dot, hyphen, underscore."""
    if not _DEVICE.fullmatch(text):
        raise Problem(
            f"the device name {text!r} does not fit",
            "Use 1 to 64 of a-z, 0-9, dot, hyphen and underscore, a letter or digit first, such as shop-1",
            USAGE,
        )
    return text


def person_name_of(text: str, what: str) -> str:
    """A person's or shop's name: any script, trimmed, composed (NFC), 1 to 64 characters, nothing
    invisible."""
    name = unicodedata.normalize("NFC", " ".join(text.split()))
    if not name or len(name) > NAME_LIMIT or any(unicodedata.category(letter)[0] == "C" for letter in name):
        raise Problem(
            f"the {what} name {text[:80]!r} does not fit",
            f"Use 1 to {NAME_LIMIT} printable characters",
            USAGE,
        )
    return name
