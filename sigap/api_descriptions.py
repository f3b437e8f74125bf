"""docs/api: the contract with police systems as JSON Schema, OpenAPI 3.1 and AsyncAPI 3.0, from the code's own models.

python -m sigap.api_descriptions            write them
python -m sigap.api_descriptions --check    exit 1 when they differ
"""

from __future__ import annotations

import functools
import json
import sys
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from gateway.backends import eido, mqtt
from gateway.backends.cap import message as cap
from gateway.backends.exchange import LATE
from gateway.inbound import callbacks
from gateway.inbound.status_event import StatusEvent
from gateway.incidents.event_models import IncidentEvent
from gateway.ingest.phone import PhoneMessage, PhoneStatus
from sigap.generated import ROOT, write_or_check

FOLDER = ROOT / "docs" / "api"
VERSION = "1.0.0"
TITLE = "Sigap: panic buttons to police systems"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
LICENCE = {"name": "Apache 2.0", "identifier": "Apache-2.0"}
Json = dict[str, Any]


def schemas(at: str) -> Json:
    """Every model by name, references beginning with `at`."""
    models = [(IncidentEvent, "validation"), (StatusEvent, "validation")]
    _, found = models_json_schema(models, ref_template=at + "{model}")  # pyright: ignore[reportArgumentType]
    return found["$defs"]


def event_schema() -> Json:
    """JSON Schema of what a gateway sends."""
    found = schemas("#/$defs/")
    return {
        "$schema": DIALECT,
        "$id": "urn:sigap:schema:incident-event:v1",
        **found.pop("IncidentEvent"),
        "$defs": found,
    }


def status_schema() -> Json:
    """JSON Schema of what a police system calls back with."""
    found = schemas("#/$defs/")
    return {"$schema": DIALECT, "$id": "urn:sigap:schema:status-event:v1", **found.pop("StatusEvent"), "$defs": found}


def phone_schema(model: type[BaseModel], name: str) -> Json:
    """JSON Schema of what a phone sends, or gets."""
    return {"$schema": DIALECT, "$id": f"urn:sigap:schema:{name}:v1", **model.model_json_schema()}


def openapi() -> Json:
    """Both directions over HTTP: what is POSTed to a police system (webhooks), what it may ask of a gateway (paths)."""
    event = {"$ref": "#/components/schemas/IncidentEvent"}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": TITLE,
            "version": VERSION,
            "license": LICENCE,
            "description": "docs/integrator.md says in words what this says to machines.",
        },
        "servers": [{"url": "http://127.0.0.1:8470", "description": "A gateway's [http]"}],
        "security": [],
        "tags": [{"name": "police"}, {"name": "feed"}],
        "webhooks": {
            "incident": {
                "post": {
                    "operationId": "incident",
                    "tags": ["police"],
                    "summary": "Something happened to an incident",
                    "parameters": [*_signature(), _late()],
                    "requestBody": {
                        "required": True,
                        "content": {
                            "application/cloudevents+json": {"schema": event},
                            eido.CONTENT_TYPE: {"schema": {"type": "object", "description": "NENA-STA-021.1a"}},
                        },
                    },
                    "responses": {
                        "200": _answer(
                            "It has it; accepted: true says that it has accepted", {"$ref": _SCHEMAS + "Accepted"}
                        ),
                        "429": {"description": "Wait as long as Retry-After says, 60 s at most"},
                        "4XX": {
                            "description": "400, 413, 415, 422 for an hour on end: a dead letter; others are tried on"
                        },
                        "5XX": {"description": "Tried again"},
                    },
                }
            }
        },
        "paths": {
            "/v1/backends/{name}/status": {
                "post": {
                    "operationId": "status",
                    "tags": ["police"],
                    "summary": "A police system says how far it is with an incident",
                    "parameters": [_name(), *_signature()],
                    "requestBody": {
                        "required": True,
                        "content": {
                            kind: {"schema": {"$ref": _SCHEMAS + "StatusEvent"}} for kind in callbacks.CONTENT_TYPES
                        },
                    },
                    "responses": {
                        "200": _answer("It is in the store", {"$ref": _SCHEMAS + "Taken"}),
                        **{
                            code: _answer(words, {"$ref": _SCHEMAS + "Refused"})
                            for code, words in {
                                "400": "not-a-status",
                                "401": "bad-signature",
                                "404": "unknown-backend, or unknown-incident: also one that it was not told of",
                                "408": "too-slow",
                                "413": f"too-long: more than {callbacks.BODY_LIMIT_BYTES} bytes",
                                "415": "bad-content-type",
                                "429": f"too-many: over {callbacks.MOST_A_SECOND} a second, {callbacks.BURST} at once",
                                "503": "not-stored: send it again",
                            }.items()
                        },
                    },
                }
            },
            "/v1/backends/{name}/feed": {"get": _feed("feed", "The newest CAP messages", "application/atom+xml", [])},
            "/v1/backends/{name}/feed/{id}": {
                "get": _feed(
                    "message", "One CAP 1.2 message", cap.CONTENT_TYPE, [_path("id", "Of an entry of the feed")]
                )
            },
        },
        "components": {
            "securitySchemes": {"feed": {"type": "http", "scheme": "basic", "description": "Any name, feed_password"}},
            "schemas": {
                **schemas(_SCHEMAS),
                "Accepted": {
                    "type": "object",
                    "properties": {
                        "accepted": {"type": "boolean"},
                        "reference": {"type": "string", "maxLength": 200, "description": "What it calls the incident"},
                    },
                },
                "Taken": {
                    "type": "object",
                    "required": ["incident", "status", "changed", "repeated"],
                    "properties": {
                        "incident": {"type": "string"},
                        "status": {"type": "string"},
                        "changed": {"type": "boolean", "description": "Something new"},
                        "repeated": {"type": "boolean", "description": "This webhook-id was taken before"},
                    },
                },
                "Refused": {
                    "type": "object",
                    "required": ["error", "message"],
                    "properties": {"error": {"type": "string"}, "message": {"type": "string"}},
                },
            },
        },
    }


def asyncapi() -> Json:
    """The message bus: what is published at another broker, and how it answers."""
    structured = {
        "name": "incident",
        "contentType": mqtt.STRUCTURED,
        "payload": {"$ref": _SCHEMAS + "IncidentEvent"},
        "correlationId": {"$ref": "#/components/correlationIds/delivery"},
        "summary": "CloudEvents structured mode; in binary mode `data` is the payload, attributes are user properties",
    }
    reply = {
        "name": "reply",
        "contentType": "application/json",
        "payload": {"$ref": _SCHEMAS + "Reply"},
        "correlationId": {"$ref": "#/components/correlationIds/delivery"},
    }
    return {
        "asyncapi": "3.0.0",
        "info": {"title": TITLE, "version": VERSION, "license": {"name": LICENCE["name"]}},
        "defaultContentType": "application/json",
        "servers": {
            "bus": {"host": "bus.example.id:8883", "protocol": "secure-mqtt", "protocolVersion": "5.0"},
        },
        "channels": {
            "incidents": {"address": "sigap/incidents", "messages": {"incident": structured}},
            "replies": {"address": "sigap/replies", "messages": {"reply": reply}},
        },
        "operations": {
            "tell": {
                "action": "send",
                "channel": {"$ref": "#/channels/incidents"},
                "summary": "QoS 1, the same id and bytes at every attempt",
                "reply": {"channel": {"$ref": "#/channels/replies"}},
            }
        },
        "components": {
            "correlationIds": {
                "delivery": {
                    "location": "$message.header#/correlationData",
                    "description": "MQTT 5 Correlation Data: the event's id",
                }
            },
            "schemas": {
                **schemas(_SCHEMAS),
                "Reply": {
                    "type": "object",
                    "description": "Neither member: not understood, tried again",
                    "properties": {
                        "accepted": {"type": "boolean", "description": "true: accepted; false: it has it"},
                        "reference": {"type": "string", "maxLength": 200},
                        "error": {"type": "string", "description": "Why it will not take it"},
                    },
                },
            },
        },
    }


_SCHEMAS = "#/components/schemas/"


def _name() -> Json:
    return _path("name", "The backend's name in the gateway's settings")


def _path(name: str, words: str) -> Json:
    return {"name": name, "in": "path", "required": True, "description": words, "schema": {"type": "string"}}


def _signature() -> list[Json]:
    words = {
        "webhook-id": "The message's id, the same at every attempt",
        "webhook-timestamp": "Seconds since 1970, of this attempt; five minutes of tolerance",
        "webhook-signature": "Standard Webhooks: v1, and HMAC-SHA256 in base64; one for each secret that holds now",
    }
    return [
        {"name": name, "in": "header", "required": True, "description": said, "schema": {"type": "string"}}
        for name, said in words.items()
    ]


def _late() -> Json:
    words = "Seconds since it was written, when that is more than 20"
    return {"name": LATE, "in": "header", "description": words, "schema": {"type": "integer"}}


def _answer(words: str, schema: Json) -> Json:
    return {"description": words, "content": {"application/json": {"schema": schema}}}


def _feed(operation: str, words: str, kind: str, more: list[Json]) -> Json:
    return {
        "operationId": operation,
        "tags": ["feed"],
        "summary": words,
        "security": [{"feed": []}],
        "parameters": [_name(), *more],
        "responses": {
            "200": {"description": words, "content": {kind: {"schema": {"type": "string"}}}},
            "401": {"description": "It has a password"},
            "404": {"description": "There is none"},
        },
    }


MADE = {
    "incident-event.schema.json": event_schema,
    "status-event.schema.json": status_schema,
    "phone-message.schema.json": functools.partial(phone_schema, PhoneMessage, "phone-message"),
    "phone-status.schema.json": functools.partial(phone_schema, PhoneStatus, "phone-status"),
    "openapi.json": openapi,
    "asyncapi.json": asyncapi,
}


def text(name: str) -> str:
    """What one of the files should hold."""
    return json.dumps(MADE[name](), indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> int:
    """0; with --check 1 when a file differs from what the models make."""
    return write_or_check({FOLDER / name: text(name) for name in MADE}, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
