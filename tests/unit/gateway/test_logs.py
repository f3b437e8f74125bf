"""Log lines: one JSON document each, with whose they are, and with what is secret masked."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from gateway.logs import MASK, JsonLines
from gateway.settings import load_settings
from gateway.settings_example import example


def line(form: JsonLines, text: str, **extra: str) -> dict[str, str]:
    record = logging.makeLogRecord({"name": "sigap.x", "levelno": 20, "levelname": "INFO", "msg": text, **extra})
    return json.loads(form.format(record))


def test_a_line_says_whose_it_is() -> None:
    said = line(JsonLines(), "told", alarm="0000a1b2-7", incident="i", unknown="x")
    assert {key: said[key] for key in said if key != "at"} == {
        "level": "info",
        "part": "sigap.x",
        "says": "told",
        "alarm": "0000a1b2-7",
        "incident": "i",
    }


@pytest.mark.parametrize(
    "text",
    [
        "cannot post to https://user:hunter22@example.org/a",
        "mailto://user:hunter22@example.org?to=b failed",
        "tgram://hunter22@host",
        "secret whsec_hunter22AAAA/+= given",
    ],
)
def test_what_looks_like_a_secret_is_masked(text: str) -> None:
    said = line(JsonLines(), text)["says"]
    assert "hunter22" not in said
    assert MASK in said


def test_the_settings_own_secrets_are_masked_even_in_a_traceback(tmp_path: Path) -> None:
    file = tmp_path / "sigap.toml"
    file.write_text(example({"store.url": "postgresql://sigap:geheim@db/sigap"}))
    settings = load_settings(file, {})
    assert len(settings.secrets()) == 4
    form = JsonLines(settings.secrets())
    for secret in settings.secrets():
        try:
            raise ValueError(f"it was {secret}")
        except ValueError as error:
            record = logging.makeLogRecord({"msg": "%s", "args": (secret,), "exc_info": (ValueError, error, None)})
        assert secret not in form.format(record)
