"""The map in Chromium: how sure the position is, the way the person went, and nothing from another host."""

from __future__ import annotations

from playwright.sync_api import Browser, expect

from gateway.clock import now_us
from gateway.incidents.book import Book
from panic_wire.frames import ALARM_UPDATE, Alarm, Header
from sigap.local import Local
from tests.browser.desk_browser import check, open_desk
from tests.system.local_lab import CITIZEN, committed

NAME = CITIZEN.name
WAY = [(-69890000, 1104240000, 400), (-69880000, 1104255000, 900)]  # lat_e7, lon_e7, accuracy_m
# Once the map has stopped moving: the circle is around the dot, and as wide as 900 m are there.
AS_WIDE_AS_UNSURE = """() => {
  const [circle, dot] = ['path[fill-opacity="0.15"]', 'path[stroke="#fff"]'].map(
    (path) => document.querySelector(path).getBoundingClientRect());
  const middle = (box) => box.x + box.width / 2;
  return circle.width > 2 * dot.width && Math.abs(middle(circle) - middle(dot)) < 3;
}"""


def test_accuracy_and_trail(one: Local, chromium: Browser) -> None:
    with one.world() as world:
        desk = open_desk(chromium, one, "Ani")
        world.press(NAME)
        desk.click("tr.open a")
        desk.wait_for_selector("#map path.leaflet-interactive")
        assert desk.locator("path[stroke-dasharray]").count() == 0
        alarm = committed(one)[-1]
        # The firmware sends no updates of a position yet: what they will be is put in here, as ingest would.
        for number, (lat, lon, accuracy_m) in enumerate(WAY, 1):
            header = Header(ALARM_UPDATE, 0, alarm["device_id"], alarm["epoch"], alarm["counter"] + 1000 + number)
            moved = Alarm(alarm["activation"], lat_e7=lat, lon_e7=lon, accuracy_m=accuracy_m, fix_age_s=0)
            with one.store.write() as conn:
                Book([], "test").take_alarm(conn, one.device(NAME), header, moved, now_us())
        expect(desk.locator("path[stroke-dasharray]")).to_have_count(1)  # the trail
        expect(desk.locator("dl")).to_contain_text("± 900 m")
        desk.wait_for_function(AS_WIDE_AS_UNSURE)
        check(desk)


def test_a_map_without_its_coasts_still_says_where(one: Local, chromium: Browser) -> None:
    with one.world() as world:
        desk = open_desk(chromium, one, "Ani")
        desk.route("**/static/map/*", lambda route: route.abort())
        desk.reload()
        world.press(NAME)
        desk.wait_for_selector("#map[data-marks='1'].bare")
        expect(desk.locator(".spot")).to_have_text(CITIZEN.owner)
        check(desk)
