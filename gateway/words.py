"""The gateway's words in the reader's language (sigap.words).

A new text is written in English as `_("...")`; tests/unit/gateway/test_words.py says what is not translated yet.
"""

from __future__ import annotations

from pathlib import Path

from babel.messages.catalog import Catalog

from sigap import words
from sigap.words import DEFAULT, LANGUAGES, SOURCE, Translate

__all__ = ["DEFAULT", "LANGUAGES", "LOCALE", "SOURCE", "Translate", "catalogue", "translator"]

LOCALE = Path(__file__).parent / "locale"


def catalogue(language: str) -> Catalog:
    """What is translated into this language."""
    return words.catalogue(LOCALE, language)


def translator(language: str) -> Translate:
    """The function that gives a text in this language; in English where it is not translated.

    A language that Sigap does not have gives Bahasa Indonesia.
    """
    return words.translator(LOCALE, language)
