"""Every text that a person reads is translated, and nothing is left over."""

from __future__ import annotations

import re
from pathlib import Path

from babel.messages.extract import extract_from_dir

import gateway
from gateway.words import catalogue, translator

GATEWAY = Path(gateway.__file__).parent


def texts() -> set[str]:
    """What the code says by _("...")."""
    methods = [("**.py", "python"), ("**.html", "jinja2.ext.babel_extract")]
    found = extract_from_dir(GATEWAY, method_map=methods, keywords={"_": None})
    return {message if isinstance(message, str) else message[0] for _, _, message, _, _ in found}


def test_everything_is_translated_and_nothing_is_left_over() -> None:
    assert len(texts()) > 15
    translated = {message.id for message in catalogue("id") if message.id and message.string and not message.fuzzy}
    assert texts() - translated == set(), "not translated in gateway/locale/id/LC_MESSAGES/sigap.po"
    assert translated - texts() == set(), "translated, and said by nothing"


def test_a_translation_keeps_its_places() -> None:
    for message in catalogue("id"):
        if message.id:
            assert re.findall(r"\{\w+\}", str(message.id)) == re.findall(r"\{\w+\}", str(message.string)), message.id


def test_a_language_that_we_do_not_have_reads_bahasa_indonesia() -> None:
    assert translator("fr")("Position: not known yet") == "Posisi: belum diketahui"
    assert translator("en")("Position: not known yet") == "Position: not known yet"
