"""One emergency from press to close with two operators in Chromium: what each sees and hears, what the button shows."""

from __future__ import annotations

from playwright.sync_api import Browser, expect

from gateway.clock import now_us
from gateway.registry.people import add_owner
from gateway.store.schema import devices
from sigap.local import Local
from tests.browser.desk_browser import check, open_desk
from tests.system.local_lab import CITIZEN, wait_until

NAME = CITIZEN.name
MARKUP = "<img src=x onerror='window.owned=1'><script>window.owned=1</script>"


def test_from_press_to_close_with_two_operators(one: Local, chromium: Browser) -> None:
    with one.world() as world:

        def button_knows(stage: str) -> None:
            """Within a second of the click: the firmware took the sealed stage, and its light follows."""
            known = lambda: world.console(NAME)[-1].endswith(f": {stage}")  # noqa: E731
            wait_until(known, f"{stage!r} on the button", limit_s=1.0)

        def mails() -> int:
            return len(list(one.mails.glob("*.eml")))

        before = mails()
        ani, budi = open_desk(chromium, one, "Ani"), open_desk(chromium, one, "Budi", language="en")
        world.press(NAME)
        for desk in (ani, budi):
            desk.wait_for_selector("tr.open")
            desk.wait_for_function("document.body.dataset.sound === 'rings'")
            expect(desk.locator("#unseen")).to_be_visible()
            desk.wait_for_selector("#map[data-marks='1']")
            assert desk.title().startswith("(1) ")
            desk.click("tr.open a")
            desk.wait_for_selector("#map path.leaflet-interactive")
        wait_until(lambda: mails() > before, "the registered message")

        before = mails()
        ani.click("text=Saya lihat")
        expect(ani.locator(".state")).to_contain_text("dilihat petugas")
        button_knows("acknowledged")
        # Budi's page has learned it by itself, and no longer sounds.
        expect(budi.locator(".state")).to_contain_text("seen")
        budi.wait_for_function("document.body.dataset.sound === 'ready'")
        expect(budi.locator("text=I have seen it")).to_have_count(0)

        budi.select_option("select[name=unit]", "Patroli contoh 2")
        # What is being typed stays, whatever happens meanwhile.
        ani.fill("input[name=note]", MARKUP)
        budi.click("text=Send unit")
        button_knows("dispatched")
        expect(ani.locator(".state")).to_contain_text("unit berangkat")
        assert ani.input_value("input[name=note]") == MARKUP
        expect(ani.locator(".events")).to_contain_text("Budi: Patroli contoh 2")
        wait_until(lambda: mails() > before, "the message that help is on the way")

        # Ani's page is older: her "send" comes second, and she is told who was first.
        expect(ani.locator("form[action$=dispatched]")).to_have_count(1)
        ani.select_option("select[name=unit]", "Patroli contoh 1")
        ani.click("text=Kirim unit")
        expect(ani.locator(".problem")).to_contain_text("Budi")

        budi.click("text=They are on scene")
        button_knows("on_scene")
        expect(ani.locator(".state")).to_contain_text("di lokasi")
        ani.select_option("select[name=disposition]", "genuine")
        ani.fill("input[name=note]", MARKUP)
        ani.click("form[action$=closed] button")
        button_knows("closed")
        expect(budi.locator(".state")).to_contain_text("closed: genuine")
        expect(budi.locator(".events")).to_contain_text(MARKUP)  # as text
        assert [desk.evaluate("window.owned") for desk in (ani, budi)] == [None, None]
        check(ani, budi)


def test_names_with_markup_stay_text_also_on_the_map(one: Local, chromium: Browser) -> None:
    before = one.device(NAME)
    with one.world() as world:
        with one.store.write() as conn:
            owner = add_owner(conn, name=MARKUP[:60], registered_message=MARKUP, address=MARKUP, now_us=now_us())
            conn.execute(devices.update().values(owner_id=owner.id, site_name=MARKUP))
        desk = open_desk(chromium, one, "Ani")
        world.press(NAME)
        expect(desk.locator("tr.open a")).to_have_text(MARKUP[:60])  # came by the live line
        expect(desk.locator(".spot")).to_have_text(MARKUP[:60])
        desk.click("tr.open a")
        expect(desk.locator("h1")).to_have_text(MARKUP[:60])
        expect(desk.locator("dl")).to_contain_text(MARKUP)
        assert desk.evaluate("window.owned") is None
        assert desk.locator("main img").count() == 0
        check(desk)
    with one.store.write() as conn:
        conn.execute(devices.update().values(owner_id=before.owner_id, site_name=before.site_name))
