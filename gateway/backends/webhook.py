"""Tells a police system by a signed webhook.

Headers are those of Standard Webhooks (https://www.standardwebhooks.com): `webhook-id` is the delivery's id,
the same at every attempt; timestamp and signature are made anew each time. The body is one CloudEvent 1.0 in
structured JSON mode (https://cloudevents.io, JSON format 1.0.2, section 3.2), the same bytes each time.
docs/integrator.md is the page for whoever writes the far side.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import aiohttp
from sqlalchemy import Connection
from standardwebhooks import Webhook

from gateway.backends.network import PrivateAddress, PublicOnly, check_literal
from gateway.clock import Clock, now_us
from gateway.outbox.port import Delivery, Destination, Outcome
from gateway.outbox.retry import RetryPolicy
from gateway.settings import BackendSettings

log = logging.getLogger("sigap.backends")

CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"
ANSWER_LIMIT_BYTES = 64 * 1024
EXCERPT_CHARACTERS = 200
REFERENCE_CHARACTERS = 200
RETRY_AFTER_LIMIT_S = 60.0
KEEP_ALIVE_S = 4.0  # below the 5 s after which common servers (uvicorn, Node) hang up on an idle connection
POLICY = RetryPolicy()
# This very delivery, as it is, will not be taken: one that is not understood, is too large or makes no sense there.
HOPELESS = {400, 413, 415, 422}
# The server itself is in trouble, or wants less: the next delivery would fare no better.
TROUBLED = {408, 425, 429}


# Book.record_stage(conn, incident_id, stage, actor, data, now_us) -> whether the incident changed
RecordStage = Callable[[Connection, str, str, str, dict[str, Any], int], object]


class WebhookBackend(Destination):
    """The destination "backend:<name>". `record_stage` is called when the far side says it has accepted."""

    def __init__(
        self,
        settings: BackendSettings,
        record_stage: RecordStage,
        clock: Clock = now_us,
        policy: RetryPolicy = POLICY,
    ) -> None:
        self.prefix = f"backend:{settings.name}"
        self.policy = policy
        self.concurrency = 8
        self.limit_s = settings.timeout_s + 5  # the session's own limit comes first, and says more
        self._url, self._timeout_s, self._allow_private = (
            settings.url,
            settings.timeout_s,
            settings.allow_private,
        )
        self._signer = Webhook(settings.secret)
        self._record_stage, self._clock = record_stage, clock
        self._session: aiohttp.ClientSession | None = None

    async def deliver(self, delivery: Delivery) -> Outcome:
        """One POST. 2xx: it has it, and has accepted it if the answer's JSON says {"accepted": true}."""
        body = json.dumps(delivery.payload, ensure_ascii=False, separators=(",", ":"))
        try:
            if not self._allow_private:
                check_literal(self._url)
            async with self._get_session().post(
                self._url, data=body.encode(), headers=self._headers(delivery.id, body), allow_redirects=False
            ) as response:
                answer = await _read_bounded(response)
                return self._judge(delivery, response, answer)
        except TimeoutError:
            return Outcome(done=False, error=f"it gave no answer within {self._timeout_s:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Outcome(done=False, error=explain(error))

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _headers(self, delivery_id: str, body: str) -> dict[str, str]:
        timestamp = datetime.fromtimestamp(self._clock() // 1_000_000, tz=UTC)
        return {
            "content-type": CONTENT_TYPE,
            "accept": "application/json",
            "accept-encoding": "identity",
            "user-agent": "sigap",
            "webhook-id": delivery_id,
            "webhook-timestamp": str(int(timestamp.timestamp())),
            "webhook-signature": self._signer.sign(delivery_id, timestamp, body),
        }

    def _get_session(self) -> aiohttp.ClientSession:
        if self._session is None:  # made here, because it belongs to the running loop
            resolver = None if self._allow_private else PublicOnly()
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=self.concurrency, keepalive_timeout=KEEP_ALIVE_S, resolver=resolver
                ),
                timeout=aiohttp.ClientTimeout(total=self._timeout_s),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,  # a small answer must not unpack into a large one
            )
        return self._session

    def _judge(self, delivery: Delivery, response: aiohttp.ClientResponse, answer: bytes | None) -> Outcome:
        status = response.status
        if 200 <= status < 300:
            said = _json_object(answer)
            if said.get("accepted") is True:
                return Outcome(done=True, reached=True, effect=self._accepted(delivery, said.get("reference")))
            log.info("%s has %s (%d) but has not accepted it yet", self.prefix, delivery.incident_id, status)
            return Outcome(done=True, reached=True)
        reached = status < 500 and status not in TROUBLED
        pause_s = None
        if status in (429, 503):
            pause_s = retry_after_s(response.headers.get("retry-after"), self._clock() / 1e6)
        return Outcome(
            done=False,
            error=refusal(status, response, answer),
            retry_after_s=pause_s,
            reached=reached,
            hopeless=status in HOPELESS,
        )

    def _accepted(self, delivery: Delivery, reference: object) -> Callable[[Connection], object]:
        data: dict[str, Any] = {"delivery": delivery.id}
        if isinstance(reference, str) and reference:
            data["reference"] = reference[:REFERENCE_CHARACTERS]

        def effect(conn: Connection) -> object:
            return self._record_stage(conn, delivery.incident_id, "accepted", self.prefix, data, self._clock())

        return effect


async def _read_bounded(response: aiohttp.ClientResponse) -> bytes | None:
    """The answer's body; None when it is longer than the limit."""
    body = bytearray()
    async for chunk in response.content.iter_chunked(16 * 1024):
        body += chunk
        if len(body) > ANSWER_LIMIT_BYTES:
            response.close()
            return None
    return bytes(body)


def _json_object(answer: bytes | None) -> dict[str, Any]:
    """The JSON object in `answer`, or an empty one: what we do not understand accepts nothing."""
    try:
        said = json.loads(answer or b"{}")
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def retry_after_s(header: str | None, now_s: float) -> float | None:
    """Seconds to wait by a Retry-After (RFC 9110, 10.2.3: seconds or date), at most 60; None if unusable."""
    if not header:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        seconds = float(text[:9])
    else:
        try:
            date = parsedate_to_datetime(text)
        except (ValueError, OverflowError):
            return None
        seconds = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now_s
    return min(max(seconds, 0.0), RETRY_AFTER_LIMIT_S)


def refusal(status: int, response: aiohttp.ClientResponse, answer: bytes | None) -> str:
    """What an answer other than 2xx means, as a sentence."""
    try:
        said = f"it answered {status} {HTTPStatus(status).phrase}"
    except ValueError:
        said = f"it answered {status}"
    if 300 <= status < 400:
        where = response.headers.get("location", "nowhere")[:EXCERPT_CHARACTERS]
        return f"{said} to {where}: redirects are not followed, put the final address into its url"
    if status in (401, 403):
        said += " (does it know our secret?)"
    if answer is None:
        return f"{said} with more than {ANSWER_LIMIT_BYTES // 1024} KiB"
    excerpt = " ".join(answer.decode(errors="replace").split())[:EXCERPT_CHARACTERS]
    return f"{said}: {excerpt}" if excerpt else said


def explain(error: Exception) -> str:
    """What a failure to talk to it means, as a sentence."""
    if isinstance(error, PrivateAddress):
        return f"{error}, and allow_private is false"
    if isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, PrivateAddress):
        return f"{error.os_error}, and allow_private is false"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"its name {error.host} could not be resolved"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"its certificate was not trusted: {error.certificate_error}"
    if isinstance(error, aiohttp.ClientSSLError):
        return f"TLS with {error.host} failed: {error.os_error}"
    if isinstance(error, aiohttp.ClientConnectorError):
        number = error.os_error.errno
        reason = os.strerror(number) if number else str(error.os_error)
        return f"no connection to {error.host} port {error.port}: {reason}"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "it closed the connection without an answer"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "its answer broke off"
    if isinstance(error, aiohttp.InvalidURL):
        return f"its url {error.url} is not a web address"
    return f"it could not be told: {type(error).__name__}: {error}"
