"""The descriptions for machines: they are what the code makes, they are right by their own standards, and what really
goes over the line is what they say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError
from openapi_spec_validator import OpenAPIV31SpecValidator

from gateway.backends.cap import feed
from gateway.inbound import callbacks
from gateway.incidents.book import Book
from gateway.store.engine import Store
from sigap import api_descriptions as made
from tests.unit.gateway.backend_lab import payload
from tests.unit.gateway.incident_town import BOOK, NOW, Town
from tests.unit.gateway.test_callbacks import EVENT


@pytest.mark.parametrize("name", made.MADE)
def test_the_files_are_what_the_models_make(name: str) -> None:
    assert (made.FOLDER / name).read_text(encoding="utf-8") == made.text(name), "run `make generate`"


def references(found: Any) -> Iterator[str]:
    if isinstance(found, dict):
        if isinstance(found.get("$ref"), str):
            yield found["$ref"]
        for each in found.values():
            yield from references(each)
    elif isinstance(found, list):
        for each in found:
            yield from references(each)


@pytest.mark.parametrize("name", made.MADE)
def test_every_reference_leads_somewhere(name: str) -> None:
    document = made.MADE[name]()
    for each in references(document):
        place: Any = document
        for part in each.removeprefix("#/").split("/"):
            place = place[part]


def test_openapi_is_right_by_its_own_standard() -> None:
    assert list(OpenAPIV31SpecValidator(made.openapi()).iter_errors()) == []


def test_the_paths_are_the_routes(tmp_path: Path) -> None:
    store: Any = None
    routes = [*callbacks.routes(store, Book([], "x"), [], lambda: None), *feed.routes(store, [], "x")]
    described = made.openapi()["paths"]
    assert {each.path for each in routes} == set(described)
    for route in routes:
        assert {each.lower() for each in route.methods or ()} - {"head"} == set(described[route.path])


def test_asyncapi_names_what_it_uses() -> None:
    document = made.asyncapi()
    assert document["asyncapi"] == "3.0.0"
    assert set(document) >= {
        "info",
        "channels",
        "operations",
    }
    for operation in document["operations"].values():
        assert operation["action"] in ("send", "receive")
        assert operation["channel"]["$ref"].removeprefix("#/channels/") in document["channels"]


EVENTS = Draft202012Validator(made.event_schema())
STATUSES = Draft202012Validator(made.status_schema())


def sent(store: Store) -> list[dict[str, Any]]:
    with store.read() as conn:
        found = conn.exec_driver_sql("SELECT payload FROM deliveries WHERE destination = 'backend:police'")
        return [json.loads(text) for text in found.scalars()]


def test_what_the_book_sends_is_what_the_schema_says(tmp_path: Path) -> None:
    town = Town(tmp_path / "sigap.db")
    town.press("till", lat_e7=-69_800_000, lon_e7=1_104_100_000, accuracy_m=5, fix_age_s=1)
    taken = town.press("back", at=NOW + 1_000_000)
    town.press("carried", activation=3, at=NOW + 2_000_000, silent=True)
    with town.store.write() as conn:
        for stage in ("accepted", "acknowledged", "dispatched"):
            BOOK.record_stage(conn, taken.incident_id, stage, "backend:polda", {}, NOW + 9_000_000)
        said = {"disposition": "genuine"}
        BOOK.record_stage(conn, taken.incident_id, "closed", "operator:Ani", said, NOW + 9_000_000)
    events = sent(town.store)
    assert {each["data"]["change"] for each in events} >= {"opened", "alarm_joined", "dispatched", "closed"}
    for each in [*events, payload()]:
        EVENTS.validate(each)
        assert set(each["data"]) - {"alarms_left_out"} == set(made.schemas("")["IncidentData"]["properties"]) - {
            "alarms_left_out"
        }
    town.store.close()


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": "id.sigap.incident.exploded.v1"},
        {"time": "2026-11-24 03:40"},
        {"specversion": "0.3"},
        {"data": {**payload()["data"], "state": "lost"}},
        {"data": {**payload()["data"], "position": {**payload()["data"]["position"], "lat": 200}}},
    ],
)
def test_the_schema_refuses_what_is_not_so(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        EVENTS.validate({**payload(), **wrong})


def test_a_status_is_what_its_schema_says() -> None:
    STATUSES.validate(EVENT)
    with pytest.raises(ValidationError):
        STATUSES.validate({**EVENT, "data": {"incident": "i1", "status": "asleep"}})
