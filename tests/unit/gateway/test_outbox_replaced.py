"""After an outage each repeat of an alarm says its press time better: the police get the best, and once."""

from __future__ import annotations

import json
from pathlib import Path

from gateway.outbox import rows
from gateway.store.engine import open_store
from tests.unit.gateway.test_incidents_book import NOW, Desk

S = 1_000_000


def test_an_update_that_nobody_was_sent_is_put_right_in_place(tmp_path: Path) -> None:
    with open_store(f"sqlite:///{tmp_path / 'sigap.db'}") as store:
        desk = Desk(store)

        def told() -> list[tuple[str, str, str, int]]:
            found = [(row.id, json.loads(row.payload)) for row in desk.deliveries("backend:police")]
            return [(each, body["id"], body["data"]["change"], len(body["data"]["alarms"])) for each, body in found]

        at = NOW + 60 * S
        for counter, age_s in enumerate((0, 1, 3, 7, 15, 31), 1):  # six frames that waited at the broker
            desk.take(counter, at=at, age_ms=age_s * 1000)
        (opened, _, first, _), (better, event_id, second, _) = told()
        assert (first, second, event_id) == ("opened", "press_time", better)
        body = json.loads(desk.deliveries("backend:police")[1].payload)
        assert body["data"]["alarms"][0]["pressed_at"] == "2026-09-21T14:13:49.000Z"  # 31 s before it came

        # Its bytes are what they are from the first attempt on, and nothing passes what is written after it.
        with store.write() as conn:
            rows.claim(conn, [opened], now_us=at, lease_us=S)
            rows.finish(conn, opened, now_us=at)
            rows.claim(conn, [better], now_us=at, lease_us=S)
        desk.take(7, at=at, age_ms=60_000)
        assert [each[2] for each in told()] == ["opened", "press_time", "press_time"]
        desk.take(8, activation=2, at=at)
        desk.take(9, at=at, age_ms=90_000)
        assert [each[2] for each in told()] == ["opened", "press_time", "press_time", "alarm_joined", "press_time"]
