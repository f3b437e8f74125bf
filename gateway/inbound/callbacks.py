"""POST /v1/backends/{name}/status: a police system says how far it is with an incident.

Signed like our own webhooks (Standard Webhooks, five minutes of tolerance), with that direction's own secret.
What it says is committed before it is answered; a repeated webhook-id is answered 200 with no second effect.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import OperationalError
from standardwebhooks import Webhook, WebhookVerificationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.backend_settings import BACKEND, WebhookSettings
from gateway.clock import Clock, now_us
from gateway.inbound.status_event import NotAStatus, StatusEvent, parse_status
from gateway.incidents.book import Book, UnknownIncident
from gateway.request_body import TooLong, TooSlow, read_bounded
from gateway.store.engine import Store
from gateway.store.problems import StoreProblem

log = logging.getLogger("sigap.inbound")

BODY_LIMIT_BYTES = 64 * 1024
BODY_LIMIT_S = 10.0
ID_LIMIT = 256
MOST_A_SECOND, BURST = 100, 500  # callbacks of one backend: a province's busiest night is far below
CONTENT_TYPES = ("application/cloudevents+json", "application/json")

TAKE = """
INSERT INTO inbox (source, message_id, at) VALUES (:source, :message_id, :at)
ON CONFLICT (source, message_id) DO NOTHING
"""


WAS_TOLD = """
SELECT 1 FROM deliveries WHERE incident_id = :incident AND destination = :destination LIMIT 1
"""


class Pace:
    """How many callbacks a backend may make: a bucket of BURST that fills again at MOST_A_SECOND."""

    def __init__(self, seconds: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._left, self._at = seconds, float(BURST), seconds()

    def pause_s(self) -> float:
        """0 and one less, or the seconds until there is one."""
        now = self._seconds()
        self._left = min(float(BURST), self._left + (now - self._at) * MOST_A_SECOND)
        self._at = now
        if self._left < 1:
            return (1 - self._left) / MOST_A_SECOND
        self._left -= 1
        return 0.0


class Refused(Exception):
    """A callback that is not taken: status, a slug that stays the same forever, and a sentence."""

    def __init__(self, status: int, error: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.error, self.message, self.headers = status, error, message, headers


def routes(
    store: Store,
    book: Book,
    backends: Iterable[WebhookSettings],
    wake: Callable[[], None],
    clock: Clock = now_us,
) -> list[Route]:
    """The route for all `backends`; `wake` is called after each commit that changed something."""
    listed = list(backends)
    verifiers = {
        each.name: [Webhook(secret) for secret in (each.callback_secret, each.next_callback_secret) if secret]
        for each in listed
    }
    paces = {each.name: Pace() for each in listed}

    async def status(request: Request) -> Response:
        name = request.path_params["name"]
        try:
            verifier = verifiers.get(name)
            if verifier is None:
                raise Refused(404, "unknown-backend", "no backend of this name is in the settings")
            body = await _read_bounded(request)
            message_id = _verify(verifier, request, body)
            if (pause_s := paces[name].pause_s()) > 0:
                what = f"more than {MOST_A_SECOND} callbacks a second"
                raise Refused(429, "too-many", what, {"retry-after": str(math.ceil(pause_s))})
            event = _parse(request, body)
            answer = await asyncio.to_thread(_take, store, book, name, message_id, event, clock)
        except Refused as refused:
            log.warning("a callback for backend %s was refused: %s", name[:64], refused.message)
            content = {"error": refused.error, "message": refused.message}
            return JSONResponse(content, refused.status, headers=refused.headers)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody is left to read it
        if answer["changed"]:
            wake()
        return JSONResponse(answer)

    return [Route("/v1/backends/{name}/status", status, methods=["POST"])]


async def _read_bounded(request: Request) -> bytes:
    too_long = Refused(413, "too-long", f"the body is longer than {BODY_LIMIT_BYTES} bytes", {"connection": "close"})
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and (len(length) > 9 or int(length) > BODY_LIMIT_BYTES):
        raise too_long
    try:
        return await read_bounded(request, BODY_LIMIT_BYTES, BODY_LIMIT_S)
    except TooLong as error:
        raise too_long from error
    except TooSlow as error:
        what = f"the body took longer than {BODY_LIMIT_S:g} s"
        raise Refused(408, "too-slow", what, {"connection": "close"}) from error


def _verify(verifiers: list[Webhook], request: Request, body: bytes) -> str:
    """Check timestamp, and the signature by any of the secrets that hold now; returns the webhook-id."""
    message_id = request.headers.get("webhook-id", "")
    if len(message_id) > ID_LIMIT:
        raise Refused(401, "bad-signature", f"webhook-id is longer than {ID_LIMIT} characters")
    refusal: WebhookVerificationError | None = None
    for verifier in verifiers:
        try:
            verifier.verify(body, dict(request.headers), json_parse=False)
        except WebhookVerificationError as error:
            refusal = refusal or error
        except ValueError as error:  # what is not base64, not UTF-8, not "version,signature"
            raise Refused(401, "bad-signature", "the signature headers or the body are malformed") from error
        else:
            return message_id
    raise Refused(401, "bad-signature", f"the signature does not hold: {str(refusal).lower()}") from refusal


def _parse(request: Request, body: bytes) -> StatusEvent:
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind not in CONTENT_TYPES:
        raise Refused(415, "bad-content-type", f"content-type must be {CONTENT_TYPES[0]}")
    try:
        return parse_status(body)
    except NotAStatus as error:
        raise Refused(400, "not-a-status", str(error)) from error


def _take(store: Store, book: Book, name: str, message_id: str, event: StatusEvent, clock: Clock) -> dict[str, Any]:
    """Record it, in one transaction with the inbox's memory that it was taken."""
    actor, data, now = f"{BACKEND}{name}", event.data, clock()
    answer = {"incident": data.incident, "status": data.status, "changed": False, "repeated": False}
    try:
        with store.write() as conn:
            values = {"source": actor, "message_id": message_id, "at": now}
            if conn.execute(sa.text(TAKE), values).rowcount == 0:
                return {**answer, "repeated": True}
            about = {"incident": data.incident, "destination": actor}
            if conn.execute(sa.text(WAS_TOLD), about).first() is None:
                raise UnknownIncident(data.incident)  # of others' incidents it learns not even that they exist
            changed = book.record_stage(conn, data.incident, data.status, actor, data.said(), now)
    except UnknownIncident as error:
        message = "this gateway has no incident with this id"
        raise Refused(404, "unknown-incident", message) from error
    except (StoreProblem, OperationalError) as error:
        log.error("a callback of %s could not be stored: %s", actor, error)
        message = "it could not be stored now; send it again"
        raise Refused(503, "not-stored", message, {"retry-after": "2"}) from error
    return {**answer, "changed": changed}
