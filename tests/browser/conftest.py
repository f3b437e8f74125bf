"""A real Chromium for the tests of the desk, installed by `make test` through apt; and a Sigap that they share."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from sigap.local import Local
from sigap.operator import DeskOperator
from tests.system.local_lab import local, running, wait_until

NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")  # a running Playwright keeps asyncio to itself
def chromium() -> Iterator[Browser]:
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    assert path, "Chromium is missing: `make test` installs it"
    # Chromium refuses its sandbox to root.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def shared_sigap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    with running(local(tmp_path_factory.mktemp("sigap"))) as found:
        yield found


@pytest.fixture
def one(shared_sigap: Local, chromium: Browser) -> Iterator[Local]:
    """A running Sigap with nothing open in it. Others use it later: what a test kills there, it starts again."""
    yield shared_sigap
    for context in chromium.contexts:
        context.close()
    operator = DeskOperator(shared_sigap.login_link())
    while incident := operator.find_open_incident():
        operator.act(incident, "closed", disposition="exercise")
    wait_until(lambda: shared_sigap.health()["outbox"] == 0, "the last message about it")
