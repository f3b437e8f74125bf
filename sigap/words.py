"""Words in the reader's language: gettext catalogues read by Babel. The source language is English.

A new text is written in English as `_("...")`. Gateway and simulator have a folder of catalogues each.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po

SOURCE, DEFAULT = "en", "id"
LANGUAGES = (DEFAULT, SOURCE)

Translate = Callable[[str], str]


@lru_cache
def catalogue(locale: Path, language: str) -> Catalog:
    """What is translated into this language. locale: the folder that has a folder for each language."""
    with (locale / language / "LC_MESSAGES" / "sigap.po").open("rb") as file:
        return read_po(file, locale=language)


def translator(locale: Path, language: str) -> Translate:
    """The function that gives a text in this language; in English where it is not translated.

    A language that Sigap does not have gives Bahasa Indonesia.
    """
    if language == SOURCE:
        return lambda text: text
    words = catalogue(locale, language if language in LANGUAGES else DEFAULT)

    def translate(text: str) -> str:
        message = words.get(text)
        return str(message.string) if message is not None and message.string else text

    return translate
