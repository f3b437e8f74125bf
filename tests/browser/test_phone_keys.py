"""The page's own script makes the vectors' messages to the byte, and believes nothing that the vectors call bad."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from sigap.local import Local
from tests.browser.phone_browser import new_context, ready

VECTORS = json.loads((Path(__file__).resolve().parents[2] / "docs" / "api" / "phone-vectors.json").read_text())
PLAY = """async (vectors) => {
  const { keysOf, signed, opened } = await import('/sos/static/keys.js');
  const bytes = Uint8Array.from(vectors.root_key.match(/../g), (two) => parseInt(two, 16));
  const root = await crypto.subtle.importKey('raw', bytes, 'HKDF', false, ['deriveBits', 'deriveKey']);
  const keys = await keysOf(root, vectors.phone);
  const all = (list, work) => Promise.all(list.map(work));
  return {
    password: keys.password,
    made: await all(vectors.messages, ({ message }) => signed(keys.up, message)),
    read: await all(vectors.statuses, ({ jws }) => opened(keys.down, jws)),
    bad: await all(vectors.bad, ({ jws }) => opened(keys.down, jws)),
    noise: await all(vectors.noise, (jws) => opened(keys.down, jws)),
  };
}"""


@pytest.fixture
def page(one: Local, chromium: Browser) -> Page:
    found = new_context(chromium).new_page()
    found.goto(f"http://127.0.0.1:{one.ports.gateway}/sos/")
    return found


def test_the_script_keeps_the_contract(page: Page) -> None:
    good = VECTORS["statuses"][0]["jws"]
    bad = [
        case for case in VECTORS["bad"] if case["name"] != "the key that is for down"
    ]  # which is for what comes here
    noise = ["", ".", "a.b.c", good + "A", good[1:], good.replace(".", ".A", 1)]
    said = page.evaluate(PLAY, {**VECTORS, "bad": bad, "noise": noise})
    assert said["password"] == VECTORS["broker_password"]
    assert said["made"] == [case["jws"] for case in VECTORS["messages"]]
    assert said["read"] == [case["message"] for case in VECTORS["statuses"]]
    assert said["bad"] == [None] * len(bad)
    assert said["noise"] == [None] * len(noise)


def test_no_script_reads_the_root_key_again(one: Local, chromium: Browser) -> None:
    page, phone = ready(one, new_context(chromium))
    said = page.evaluate("""async () => {
      const { identity } = await import('/sos/static/store.js');
      const { root } = await identity();
      try { await crypto.subtle.exportKey('raw', root); } catch (error) { return [root.extractable, error.name]; }
    }""")
    assert said == [False, "InvalidAccessError"]
    assert phone.root_key != bytes(16)
