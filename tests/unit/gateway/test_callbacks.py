"""Status callbacks, over real HTTP into a real store."""

from __future__ import annotations

import base64
import http.client
import json
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook
from starlette.applications import Starlette

from gateway.backend_settings import WebhookSettings
from gateway.inbound.callbacks import BURST, MOST_A_SECOND, Pace, routes
from gateway.inbound.status_event import NotAStatus, parse_status
from gateway.incidents.book import Book
from gateway.store.engine import Store
from gateway.store.schema import events, inbox, incidents
from tests.unit.gateway.outbox_lab import enqueue, lab_store, served

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OTHER = "whsec_" + base64.b64encode(bytes(range(32, 64))).decode()
NEXT = "whsec_" + base64.b64encode(bytes(range(64, 96))).decode()
EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "e1",
    "source": "urn:test",
    "type": "id.sigap.incident.status.v1",
    "data": {"incident": "i1", "status": "acknowledged"},
}


class Lab:
    def __init__(self, store: Store, url: str, woken: list[bool]) -> None:
        self.store, self.url, self.woken = store, url, woken

    def post(
        self,
        body: bytes | dict[str, Any],
        *,
        secret: str = SECRET,
        message_id: str | None = None,
        at: datetime | None = None,
        name: str = "police",
        **headers: str,
    ) -> tuple[int, dict[str, Any]]:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        message_id, at = message_id or secrets.token_hex(8), at or datetime.now(UTC)
        signed = {
            "content-type": "application/cloudevents+json",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": Webhook(secret).sign(message_id, at, raw.decode(errors="replace")),
        }
        signed |= {header.replace("_", "-"): value for header, value in headers.items()}
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=10)
        try:
            connection.request("POST", f"/v1/backends/{name}/status", raw, signed)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def say(self, status: str, message_id: str | None = None, **data: Any) -> tuple[int, dict[str, Any]]:
        event = {**EVENT, "data": {"incident": "i1", "status": status, **data}}
        return self.post(event, message_id=message_id)

    def state(self) -> tuple[str, bool, str | None]:
        with self.store.read() as conn:
            row = conn.execute(sa.select(incidents).where(incidents.c.id == "i1")).one()
        return row.state, row.accepted, row.disposition

    def rows(self, table: sa.Table) -> list[Any]:
        with self.store.read() as conn:
            return list(conn.execute(sa.select(table)))


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    backend = WebhookSettings(name="police", url="http://127.0.0.1:9/", secret=OTHER, callback_secret=SECRET)
    backend = backend.model_copy(update={"next_callback_secret": NEXT})
    woken: list[bool] = []
    with lab_store(tmp_path, "i1", "i2") as store:
        enqueue(store, "backend:police", "i1")
        enqueue(store, "backend:polda", "i2")
        app = Starlette(routes=routes(store, Book(["police"], "test"), [backend], lambda: woken.append(True)))
        with served(app) as url:
            yield Lab(store, url, woken)


def test_an_incident_walks_through_its_stages(lab: Lab) -> None:
    for status in ("accepted", "acknowledged", "dispatched", "on_scene"):
        answer = {"incident": "i1", "status": status, "changed": True, "repeated": False}
        assert lab.say(status, unit="Patroli 12") == (200, answer)
    assert lab.say("closed", disposition="genuine", note="aman")[0] == 200
    assert lab.state() == ("closed", True, "genuine")
    assert len(lab.woken) == 5
    last = lab.rows(events)[-1]
    assert (last.kind, last.actor) == ("closed", "backend:police")
    assert json.loads(last.data) == {"disposition": "genuine", "note": "aman"}


def test_the_same_callback_again_has_no_second_effect(lab: Lab) -> None:
    first = lab.say("dispatched", "m1")
    again = lab.say("dispatched", "m1")
    assert (first[1]["changed"], again[1]["changed"]) == (True, False)
    assert again == (200, {"incident": "i1", "status": "dispatched", "changed": False, "repeated": True})
    assert (len(lab.woken), len(lab.rows(inbox))) == (1, 1)


def test_a_stage_that_lies_behind_changes_nothing(lab: Lab) -> None:
    lab.say("on_scene")
    status, answer = lab.say("acknowledged")
    assert (status, answer["changed"]) == (200, False)
    assert lab.state()[0] == "on_scene"


def test_what_was_not_signed_by_this_backend_now_is_refused(lab: Lab) -> None:
    now = datetime.now(UTC)
    refused = [
        lab.post(EVENT, secret=OTHER),
        lab.post(EVENT, at=now - timedelta(minutes=6)),
        lab.post(EVENT, at=now + timedelta(minutes=6)),
        lab.post(EVENT, webhook_signature="v1,"),
        lab.post(EVENT, webhook_signature="v1"),
        lab.post(EVENT, webhook_signature="v1,?é".encode().decode("latin-1")),
        lab.post(EVENT, webhook_signature=""),
        lab.post(EVENT, webhook_timestamp="nan"),
        lab.post(EVENT, webhook_timestamp="1e999"),
        lab.post(b"\xff\xfe"),
        lab.post(EVENT, message_id="m" * 300),
    ]
    assert [(status, answer["error"]) for status, answer in refused] == [(401, "bad-signature")] * len(refused)
    assert lab.state() == ("open", False, None)
    assert lab.rows(inbox) == []
    # What was refused does not count as taken: the same id, signed well, is.
    lab.post(EVENT, secret=OTHER, message_id="m1")
    assert lab.post(EVENT, message_id="m1")[1]["changed"] is True


def test_either_of_two_secrets_holds_while_the_far_side_changes_its_own(lab: Lab) -> None:
    assert lab.post(EVENT, secret=NEXT)[0] == 200
    assert lab.post(EVENT, secret=SECRET)[0] == 200
    assert lab.post(EVENT, secret=OTHER)[0] == 401


def test_an_incident_that_it_was_not_told_of(lab: Lab) -> None:
    """Answered as if it were not there: a backend learns nothing of others' incidents."""
    event = {**EVENT, "data": {"incident": "i2", "status": "closed", "disposition": "false"}}
    status, answer = lab.post(event)
    assert (status, answer["error"]) == (404, "unknown-incident")
    with lab.store.read() as conn:
        assert conn.execute(sa.select(incidents.c.state).where(incidents.c.id == "i2")).scalar_one() == "open"
    assert lab.rows(events) == []


def test_a_flood_is_held_off(lab: Lab) -> None:
    """By the one who floods: what is not signed takes nothing from the pace of who signs."""
    for _ in range(20):
        assert lab.post(EVENT, secret=OTHER)[0] == 401
    now = 0.0
    pace = Pace(lambda: now)
    assert [pace.pause_s() for _ in range(BURST)] == [0.0] * BURST
    assert 0 < pace.pause_s() <= 1 / MOST_A_SECOND
    now = 1.0
    assert [pace.pause_s() for _ in range(MOST_A_SECOND)] == [0.0] * MOST_A_SECOND
    assert pace.pause_s() > 0


def test_a_flood_is_answered_429(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pace, "pause_s", lambda _self: 0.4)
    status, answer = lab.say("acknowledged")
    assert (status, answer["error"]) == (429, "too-many")
    assert lab.state() == ("open", False, None)


def test_an_unknown_incident_or_backend_is_404_and_may_be_sent_again(lab: Lab) -> None:
    event = {**EVENT, "data": {"incident": "i2", "status": "acknowledged"}}
    for _ in range(2):
        status, answer = lab.post(event, message_id="m1")
        assert (status, answer["error"]) == (404, "unknown-incident")
    assert lab.rows(inbox) == []
    assert lab.post(EVENT, name="nobody")[1]["error"] == "unknown-backend"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"specversion": "0.3"}, "specversion: Input should be '1.0'"),
        ({"id": ""}, "id: String should have at least 1 character"),
        ({"source": None}, "source: Input should be a valid string"),
        ({"type": "id.sigap.incident.opened.v1"}, "type: Input should be 'id.sigap.incident.status.v1'"),
        ({"data": None}, "data: "),
        ({"data": {"status": "closed"}}, "data.incident: Field required"),
        ({"data": {"incident": "i1", "status": "open"}}, "data.status: Input should be"),
        ({"data": {"incident": "i1", "status": "closed"}}, "data: closed needs a disposition"),
        ({"data": {"incident": "i1", "status": "accepted", "disposition": "test"}}, "data: only closed"),
        ({"data": {"incident": "i1", "status": "closed", "disposition": "boring"}}, "data.disposition: "),
        ({"data": {"incident": "i1", "status": "accepted", "note": "x" * 2001}}, "data.note: "),
    ],
)
def test_what_is_wrong_with_a_body_is_said(lab: Lab, change: dict[str, Any], words: str) -> None:
    status, answer = lab.post({**EVENT, **change})
    assert (status, answer["error"]) == (400, "not-a-status")
    assert answer["message"].startswith(words)


def test_bodies_that_are_too_long_or_of_another_kind_are_refused(lab: Lab) -> None:
    assert lab.post(b" " * 65_537)[1]["error"] == "too-long"
    assert lab.post(b"{", content_type="text/plain")[1]["error"] == "bad-content-type"
    assert lab.post(b"{")[0] == 400
    assert lab.post(b"[]")[1]["message"] == "the body is not a JSON object"
    assert lab.post(b"[" * 60_000)[0] == 400


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
near_events = st.fixed_dictionaries(
    {},
    optional={
        **{name: st.just(EVENT[name]) | json_values for name in ("specversion", "id", "source", "type")},
        "data": json_values
        | st.fixed_dictionaries(
            {},
            optional={
                "incident": st.text() | json_values,
                "status": st.sampled_from(["accepted", "closed", "open"]) | json_values,
                "disposition": st.sampled_from(["test", "x"]) | json_values,
                "unit": json_values,
                "note": json_values,
            },
        ),
    },
)


@given(st.binary() | near_events.map(lambda value: json.dumps(value).encode()))
def test_whatever_comes_is_a_status_or_is_refused_with_a_sentence(body: bytes) -> None:
    event, said = None, ""
    try:
        event = parse_status(body)
    except NotAStatus as refused:
        said = str(refused)
    if event is None:
        assert said
    else:
        assert (event.data.status == "closed") == (event.data.disposition is not None)
