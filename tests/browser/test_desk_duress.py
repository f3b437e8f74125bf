"""Duress, incidents that are merged and split, troubles and revoked buttons at the desk: they come up by themselves, in
both languages, and everybody can read them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from playwright.sync_api import Browser, expect

from gateway.clock import now_us
from gateway.registry.devices import revoke_device
from gateway.store.schema import deliveries
from panic_wire.frames import BATTERY_LOW, CANCEL, CRASH_TEXT, CRASHED, REPORT, TROUBLE, Cancel, Report, Trouble
from tests.browser.desk_browser import check, open_desk
from tests.browser.test_desk_accessible import problems
from tests.system.gateway_lab import lab

WORDS = {
    "id": (
        "bilang salah tekan",
        "DIPAKSA",
        "jangan menelepon",
        "baterai lemah",
        "Gangguan tombol: 1",
        "semua tombol baik",
        "dipisahkan dari kejadian lain",
        "dicabut",
    ),
    "en": (
        "says it was a mistake",
        "DURESS",
        "do not call",
        "battery low",
        "Troubles of buttons: 1",
        "Every button is well",
        "split off from another incident",
        "revoked",
    ),
}


def test_duress_and_troubles(tmp_path: Path, chromium: Browser) -> None:
    with lab(tmp_path) as (_, gateway, button_of):
        button, other = button_of("shop-1"), button_of("shop-2")
        gateway.start()
        gateway.wait_healthy()
        one: Any = SimpleNamespace(store=gateway.store, ports=SimpleNamespace(gateway=gateway.http_port))
        desks = [(open_desk(chromium, one, language, language=language), WORDS[language]) for language in WORDS]
        found: list[str] = []
        other.press()
        activation = button.press(age_ms=1000)
        for desk, _words in desks:
            desk.wait_for_selector("tr.open >> nth=1")
        button.send(button.frame(CANCEL, Cancel(activation).pack()))
        for desk, (mistake, *_) in desks:
            expect(desk.locator(".mark.mistake")).to_have_text(mistake)
            assert desk.locator("tr.open").count() == 2  # it stays in the queue, and new
        other.send(other.frame(CANCEL, Cancel(1, duress=True).pack()))
        for desk, (_mistake, duress, do_not_call, *_) in desks:
            expect(desk.locator(".mark.duress")).to_have_text(duress)
            expect(desk.locator("tbody tr").first).to_have_class("open duress")  # above all others
            colour = "e => getComputedStyle(e.querySelector('td')).backgroundColor"
            assert desk.locator("tr.duress").evaluate(colour) == "rgb(122, 0, 25)"
            found += problems(desk)
            desk.click("tr.duress a")
            expect(desk.locator("p.duress")).to_contain_text(do_not_call)
            found += problems(desk)

        # The two are one emergency; then not. Each desk does one of the two, both see both.
        joining, splitting = (desk for desk, _words in desks)
        joining.select_option("select[name=other]", index=1)
        joining.click("#together button")
        expect(joining.locator("[data-button]")).to_have_count(2)
        splitting.goto(joining.url)
        expect(splitting.locator("[data-button]")).to_have_count(2)
        found += problems(joining)
        splitting.click("[data-button=shop-1] button")
        expect(splitting.locator("h1")).to_have_text("shop-1")
        joining.goto(splitting.url)
        for desk, (*_, split_off, _revoked) in desks:
            expect(desk.locator(".events")).to_contain_text(split_off)
            desk.goto(f"http://127.0.0.1:{gateway.http_port}/troubles")
        for desk, (*_, well, _split_off, _revoked) in desks:
            expect(desk.locator("#troubles")).to_contain_text(well)
        button.send(button.frame(TROUBLE, Trouble(BATTERY_LOW, value=3210).pack()))
        for desk, (_mistake, _duress, _call, battery, *_) in desks:
            expect(desk.locator("[data-trouble=battery_low]")).to_contain_text(f"{battery} 3.21 V")
        other.send(other.frame(TROUBLE, Trouble(CRASHED, value=4).pack()))
        other.send(other.frame(REPORT, Report(CRASH_TEXT, 0, 0, b"MemoryError in panic/app.py").pack()))
        for desk, (_mistake, _duress, _call, _battery, number, *_) in desks:
            expect(desk.locator("pre")).to_have_text("MemoryError in panic/app.py")
            desk.click("summary")
            found += problems(desk)
            desk.goto(f"http://127.0.0.1:{gateway.http_port}/")
            expect(desk.locator(".troubles")).to_have_text(number)
        button.send(button.frame(TROUBLE, Trouble(BATTERY_LOW, ended=True, value=3900).pack()))
        for desk, _words in desks:
            expect(desk.locator(".troubles")).to_have_count(0)

        # A button that was revoked, whose alarm comes all the same: receipted, shown, and told to nobody outside.
        lost = button_of("shop-3")
        with gateway.store.write() as conn:
            revoke_device(conn, "shop-3", now_us())
        lost.expect("receipt", lost.press())
        for desk, (*_, revoked) in desks:
            row = desk.locator("tr.open", has_text="shop-3")
            expect(row.locator(".mark.moved")).to_have_text(revoked)
            row.locator("a").click()
            expect(desk.locator("#now")).to_contain_text(revoked.upper())
            found += problems(desk)
        told = [row["incident_id"] for row in gateway.rows(deliveries) if row["destination"].startswith("backend:")]
        assert desks[0][0].url.rpartition("/")[2] not in told
        check(*(desk for desk, _words in desks))
        assert found == []
