"""The channels that docs/administrator.md shows are addresses that Apprise takes, with our time limits on them."""

from __future__ import annotations

import re
from pathlib import Path

import apprise
import pytest

from gateway.registry.people import masked
from gateway.relatives.notify import CONNECT_LIMIT_S, READ_LIMIT_S, limited

PAGE = (Path(__file__).parents[3] / "docs" / "administrator.md").read_text()
EXAMPLES = re.findall(r"^\|.*\| `([a-z]+://[^`]+)` \|$", PAGE, re.M)


def test_there_are_some() -> None:
    assert len(EXAMPLES) >= 6


@pytest.mark.parametrize("channel", EXAMPLES)
def test_apprise_takes_it(channel: str) -> None:
    found = apprise.Apprise.instantiate(limited(channel))
    assert found is not None
    assert (found.socket_connect_timeout, found.socket_read_timeout) == (CONNECT_LIMIT_S, READ_LIMIT_S)
    assert "password" not in masked(channel)
