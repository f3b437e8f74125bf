"""For tests: a person's phone, which is a Chromium of its own on the SOS page of a whole Sigap."""

from __future__ import annotations

import secrets
from typing import Any

import sqlalchemy as sa
from playwright.sync_api import Browser, BrowserContext, Page, expect

from gateway.registry.devices import PHONE, Device, find_device
from gateway.store.schema import alarms, devices, incidents
from sigap.local import Local
from tests.browser.desk_browser import LIMIT_MS, watched

PLACE = {"latitude": -6.9932, "longitude": 110.4203, "accuracy": 12}
BETWEEN_TAPS_MS = 120


def new_context(chromium: Browser, *, located: bool = True, **more: Any) -> BrowserContext:
    """A phone's browser, small, that knows where it is."""
    place = {"geolocation": PLACE, "permissions": ["geolocation"]} if located else {}
    context = chromium.new_context(viewport={"width": 360, "height": 740}, has_touch=True, **{**place, **more})
    context.set_default_timeout(LIMIT_MS)
    return context


def enrolled(one: Local, context: BrowserContext, name: str | None = None) -> tuple[Page, Device]:
    """The page after its enrolment, with the rehearsal before it; and the phone in the registry."""
    page = watched(context.new_page())
    page.goto(one.invitation())
    page.wait_for_selector("#enrol:not([hidden])")
    page.fill("#enrol [name=name]", name or f"Warga {secrets.token_hex(3)}")
    page.fill("#enrol [name=telephone]", "+62 24 1234567")
    page.fill("#enrol [name=relative]", "Keluarga")
    page.fill("#enrol [name=relative_mail]", "keluarga-ponsel@example.org")
    page.click("#enrol form button")
    page.wait_for_selector("#test:not([hidden])")
    with one.store.read() as conn:
        found = find_device(conn, page.inner_text(".phone").strip("()") or page.text_content(".phone").strip("()"))
    assert found is not None
    assert found.kind == PHONE
    return page, found


def ready(one: Local, context: BrowserContext) -> tuple[Page, Device]:
    """The same, on the SOS page and connected: the rehearsal is somebody else's test."""
    page, found = enrolled(one, context)
    page.evaluate("async () => (await import('/sos/static/store.js')).set('rehearsed', true)")
    page.reload()
    page.wait_for_selector("#sos:not([hidden])")
    expect(page.locator("#sos .place")).not_to_be_empty()
    return page, found


def tap(page: Page, selector: str = "#sos-button", times: int = 3) -> None:
    """Taps of a finger."""
    button = page.locator(selector)
    for _ in range(times):
        button.dispatch_event("pointerdown", {"isPrimary": True, "pointerId": 1, "bubbles": True})
        page.wait_for_timeout(BETWEEN_TAPS_MS)


def reached(page: Page, number: int, section: str = "#sos") -> None:
    """So many stages are reached on the page."""
    expect(page.locator(f"{section} .stages li.reached").nth(number - 1)).to_be_attached(timeout=LIMIT_MS)


def alarms_of(one: Local, device: Device) -> list[dict[str, Any]]:
    """Its alarms in the gateway's database, oldest first, each with whether its incident is a test."""
    query = sa.select(alarms, incidents.c.test, incidents.c.state)
    query = query.join(incidents, incidents.c.id == alarms.c.incident_id)
    with one.store.read() as conn:
        rows = conn.execute(query.where(alarms.c.device_id == device.id).order_by(alarms.c.received_at))
        return [dict(row) for row in rows.mappings()]


def phones_of(one: Local) -> int:
    """How many phones there are."""
    with one.store.read() as conn:
        query = sa.select(sa.func.count()).select_from(devices).where(devices.c.kind == PHONE)
        return conn.execute(query).scalar_one()
