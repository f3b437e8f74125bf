"""People who register themselves: a one-time code shows that the address is theirs; then the policy of [phone] says
whether they are in, or wait for somebody at the desk."""

from __future__ import annotations

import asyncio
import logging
from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.clock import Clock, now_us
from gateway.phone.bodies import with_body
from gateway.phone.codes import Codes, TooMany
from gateway.registry import phones
from gateway.relatives.notify import send
from gateway.settings import PhoneSettings
from gateway.store.engine import Store
from gateway.words import DEFAULT, LANGUAGES, translator
from sigap.headers import HEADERS

log = logging.getLogger("sigap.phone")

CLOSED, APPROVED = "closed", "approved"
MOST_SENDING = 8  # codes on their way at one time, each in a thread of its own
To = Annotated[str, StringConstraints(pattern=r"^([^@\s/?&:]{1,64}@[A-Za-z0-9.-]{1,100}|\+?[0-9]{8,15})$")]


class Asked(BaseModel):
    """The body of POST /sos/code."""

    model_config = ConfigDict(extra="forbid")
    to: To
    language: str = DEFAULT


class Answered(BaseModel):
    """The body of POST /sos/verify."""

    model_config = ConfigDict(extra="forbid")
    to: To
    code: Annotated[str, StringConstraints(pattern=r"^[0-9]{6}$")]
    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]


class Registration:
    """routes() below /sos; none where the policy is `closed`."""

    def __init__(self, settings: PhoneSettings, store: Store, clock: Clock = now_us) -> None:
        self._settings, self._store, self._clock = settings, store, clock
        self._codes = Codes()
        self._sending = asyncio.Semaphore(MOST_SENDING)

    @property
    def is_open(self) -> bool:
        return self._settings.self_registration != CLOSED and bool(self._settings.code_channel)

    def routes(self) -> list[Route]:
        if not self.is_open:
            return []
        return [Route("/code", self.code, methods=["POST"]), Route("/verify", self.verify, methods=["POST"])]

    async def code(self, request: Request) -> Response:
        """Send a code. The answer is the same whoever it is: nobody learns here who is registered."""

        async def answer(body: bytes) -> Response:
            try:
                asked = Asked.model_validate_json(body)
                digits = self._codes.ask(asked.to.lower(), request.client.host if request.client else "")
            except ValidationError:
                return JSONResponse({"error": "bad-address"}, 400, HEADERS)
            except TooMany:
                return JSONResponse({"error": "too-many"}, 429, HEADERS)
            _ = translator(asked.language if asked.language in LANGUAGES else DEFAULT)
            title = _("Your code for Sigap")
            text = _("{code} is your code for Sigap's SOS page. It is good for 10 minutes. Tell it nobody.")
            channel = self._settings.code_channel.replace("{to}", asked.to)
            async with self._sending:
                failed = await asyncio.to_thread(send, channel, title, text.format(code=digits))
            if failed is not None:
                log.error("a code could not be sent: %s", failed)
                return JSONResponse({"error": "not-sent"}, 502, HEADERS)
            return JSONResponse({}, 202, HEADERS)

        return await with_body(request, answer)

    async def verify(self, request: Request) -> Response:
        """An invitation for who has the code; one that waits, where somebody is to approve."""

        async def answer(body: bytes) -> Response:
            try:
                said = Answered.model_validate_json(body)
            except ValidationError:
                return JSONResponse({"error": "bad-code"}, 400, HEADERS)
            if not self._codes.is_right(said.to.lower(), said.code):
                return JSONResponse({"error": "wrong-code"}, 403, HEADERS)
            waits = self._settings.self_registration == APPROVED
            token = await asyncio.to_thread(self._invite, f"{said.name} · {said.to}", waits)
            if token is None:
                return JSONResponse({"error": "too-many"}, 429, HEADERS)
            return JSONResponse({"invitation": token, "waiting": waits}, 201, HEADERS)

        return await with_body(request, answer)

    def _invite(self, about: str, waits: bool) -> str | None:
        now = self._clock()
        with self._store.write() as conn:
            if phones.asked_for_since(conn, now - phones.DAY_US) >= self._settings.most_a_day:
                log.error("%d people have registered themselves within a day: no more", self._settings.most_a_day)
                return None
            return phones.invite(
                conn, invited_by=phones.THEMSELVES, now_us=now, valid_us=phones.ASKED_US, about=about, waiting=waits
            )
