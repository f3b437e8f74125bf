"""POST to a far side over HTTP: bounded in time and size, no redirects, and what its answer means for an attempt."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import aiohttp

from gateway.backend_settings import WebBackend
from gateway.backends.network import PrivateAddress, PublicOnly, check_literal
from gateway.outbox.port import Outcome

ANSWER_LIMIT_BYTES = 64 * 1024
EXCERPT_CHARACTERS = 200
RETRY_AFTER_LIMIT_S = 60.0
KEEP_ALIVE_S = 4.0  # below the 5 s after which common servers (uvicorn, Node) hang up on an idle connection
# This very delivery, as it is, will not be taken: one that is not understood, is too large or makes no sense there.
HOPELESS = {400, 413, 415, 422}
# The server itself is in trouble, or wants less: the next delivery would fare no better.
TROUBLED = {408, 425, 429}


@dataclass(frozen=True)
class Answer:
    """What came back. body: None when it was longer than ANSWER_LIMIT_BYTES."""

    status: int
    headers: Mapping[str, str]
    body: bytes | None

    @property
    def ok(self) -> bool:
        """2xx: it has what it was sent."""
        return 200 <= self.status < 300

    def failure(self, now_s: float) -> Outcome:
        """The outcome of an answer that is not ok."""
        pause_s = retry_after_s(self.headers.get("retry-after"), now_s) if self.status in (429, 503) else None
        return Outcome(
            done=False,
            error=refusal(self),
            retry_after_s=pause_s,
            reached=self.status < 500 and self.status not in TROUBLED,
            hopeless=self.status in HOPELESS,
        )


class Poster:
    """Connections to a backend's URL, kept for the next POST; at most `connections`."""

    def __init__(self, settings: WebBackend, connections: int) -> None:
        self._url, self._timeout_s, self._allow_private = settings.url, settings.timeout_s, settings.allow_private
        self._ca_file, self._connections = settings.ca_file, connections
        self._session: aiohttp.ClientSession | None = None

    async def post(self, body: bytes, headers: Mapping[str, str]) -> Answer | Outcome:
        """The answer, or the outcome of an attempt that got none."""
        try:
            if not self._allow_private:
                check_literal(self._url)
            async with self._get_session().post(
                self._url, data=body, headers=headers, allow_redirects=False
            ) as response:
                return Answer(response.status, response.headers, await _read_bounded(response))
        except TimeoutError:
            return Outcome(done=False, error=f"it gave no answer within {self._timeout_s:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Outcome(done=False, error=explain(error))

    async def close(self) -> None:
        """Let go of the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _get_session(self) -> aiohttp.ClientSession:
        if self._session is None:  # made here, because it belongs to the running loop
            trusted = ssl.create_default_context(cafile=self._ca_file or None)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=self._connections,
                    keepalive_timeout=KEEP_ALIVE_S,
                    resolver=None if self._allow_private else PublicOnly(),
                    ssl=trusted,
                ),
                timeout=aiohttp.ClientTimeout(total=self._timeout_s),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,  # a small answer must not unpack into a large one
            )
        return self._session


async def _read_bounded(response: aiohttp.ClientResponse) -> bytes | None:
    """The answer's body; None when it is longer than the limit."""
    body = bytearray()
    async for chunk in response.content.iter_chunked(16 * 1024):
        body += chunk
        if len(body) > ANSWER_LIMIT_BYTES:
            response.close()
            return None
    return bytes(body)


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


def refusal(answer: Answer) -> str:
    """What an answer other than 2xx means, as a sentence."""
    status = answer.status
    try:
        said = f"it answered {status} {HTTPStatus(status).phrase}"
    except ValueError:
        said = f"it answered {status}"
    if 300 <= status < 400:
        where = answer.headers.get("location", "nowhere")[:EXCERPT_CHARACTERS]
        return f"{said} to {where}: redirects are not followed, put the final address into its url"
    if status in (401, 403):
        said += " (does it know our secret?)"
    if answer.body is None:
        return f"{said} with more than {ANSWER_LIMIT_BYTES // 1024} KiB"
    excerpt = " ".join(answer.body.decode(errors="replace").split())[:EXCERPT_CHARACTERS]
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
    if isinstance(error, FileNotFoundError | ssl.SSLError):  # as it is read, before any connection
        return f"its ca_file cannot be used: {error.strerror or error}"
    if isinstance(error, aiohttp.InvalidURL):
        return f"its url {error.url} is not a web address"
    return f"it could not be told: {type(error).__name__}: {error}"
