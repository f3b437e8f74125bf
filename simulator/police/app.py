"""The police desk's HTTP side: the webhook, the page, and what tests and scenarios ask."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from jinja2 import Environment, FileSystemLoader
from standardwebhooks import Webhook, WebhookVerificationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from simulator.police.answers import Answers
from simulator.police.desk import DISPOSITIONS, STAGES, Desk, Incident, Received
from simulator.police.words import clock, clock_of, on_page

BODY_LIMIT_BYTES = 256 * 1024
WAIT_LIMIT_S = 60.0
ON_PAGE = 50

Line = Callable[[str], None]


class App:
    """secret: of the alarms' webhook. auto: seconds after acceptance at which a stage sends itself."""

    def __init__(
        self,
        desk: Desk,
        answers: Answers,
        secret: str,
        auto: dict[str, float],
        line: Line,
        json_log: Path | None = None,
    ) -> None:
        self.desk, self._answers, self._auto, self._line = desk, answers, auto, line
        self._verifier, self._json_log = Webhook(secret), json_log
        self._page = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True)
        self._page.filters |= {"words": on_page, "clock": clock, "clock_of": clock_of}
        self._tasks: set[asyncio.Task[None]] = set()
        routes = [
            Route("/alarms", self.alarms, methods=["POST"]),
            Route("/", self.page),
            Route("/changes", self.changes),
            Route("/incidents/{id}/{stage}", self.stage, methods=["POST"]),
            Route("/behave", self.behave, methods=["POST"]),
            Route("/api/received", self.received),
        ]
        self.asgi = Starlette(routes=routes, lifespan=self._lifespan)

    @asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        yield
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._answers.close()

    async def alarms(self, request: Request) -> Response:
        """The webhook: verify, count, behave, answer."""
        body = await _body(request)
        try:
            said = self._verifier.verify(body, dict(request.headers))
        except (WebhookVerificationError, ValueError) as error:
            self._line(f"refused: {error}")
            return JSONResponse({"accepted": False, "error": f"signature: {error}"}, 401)
        if not isinstance(said, dict) or not isinstance(_incident_id(said), str):
            return JSONResponse({"accepted": False, "error": "this is no CloudEvent with data.incident"}, 400)
        received = self.desk.arrived(request.headers["webhook-id"], said)
        await self.desk.tell()
        behaviour = self.desk.behaviour
        if behaviour.slow_s:
            await asyncio.sleep(behaviour.slow_s)
        status, answer = self._answer(received)
        self.desk.answered(received, status)
        if self._json_log is not None:
            entry = {
                "webhook_id": received.webhook_id,
                "at": received.times[-1],
                "status": status,
                "body": said,
            }
            with self._json_log.open("a", encoding="utf-8") as log:
                log.write(json.dumps(entry, ensure_ascii=False) + "\n")
        await self.desk.tell()
        return JSONResponse(answer, status)

    def _answer(self, received: Received) -> tuple[int, dict[str, Any]]:
        behaviour, where = self.desk.behaviour, _incident_id(received.body)
        if behaviour.refuse:
            self._line(f"{where}  refused, as asked")
            return 403, {"accepted": False, "error": "this desk was told to refuse"}
        if behaviour.fail > 0:
            behaviour.fail -= 1
            self._line(f"{where}  failed, as asked ({behaviour.fail} more)")
            return 503, {"accepted": False, "error": "this desk was told to fail"}
        again = received.taken
        incident, is_new = self.desk.take(received)
        data = incident.data
        what = f"{data.get('device_name', '?')}  {received.body.get('type', '?')}"
        self._line(f"{where}  {what}  {incident.reference}{'  (again)' if again else ''}")
        if is_new and self._auto:
            task = asyncio.create_task(self._by_itself(incident))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if behaviour.later:
            return 202, {"accepted": False, "reference": incident.reference}
        return 200, {"accepted": True, "reference": incident.reference}

    async def _by_itself(self, incident: Incident) -> None:
        start = asyncio.get_running_loop().time()
        for stage, at_s in sorted(self._auto.items(), key=lambda item: (item[1], STAGES.index(item[0]))):
            await asyncio.sleep(max(0.0, start + at_s - asyncio.get_running_loop().time()))
            await self._send(incident, stage, {"disposition": "exercise"} if stage == "closed" else {})

    async def _send(self, incident: Incident, stage: str, extra: dict[str, Any]) -> dict[str, Any]:
        sent = await self._answers.send(incident, stage, extra)
        self._line(f"{incident.id}  {stage}: {sent.answer}")
        return {"incident": incident.id, "status": stage, "ok": sent.ok, "answer": sent.answer}

    async def stage(self, request: Request) -> Response:
        """A button (form) or a script (JSON body): send this stage. `closed` takes a disposition."""
        _same_origin(request)
        incident = self.desk.incidents.get(request.path_params["id"])
        stage = request.path_params["stage"]
        if incident is None or stage not in STAGES:
            raise HTTPException(404, "no such incident or stage")
        asked = await _asked(request)
        extra = {name: asked[name] for name in ("unit", "note", "disposition") if asked.get(name)}
        if stage == "closed" and extra.get("disposition") not in DISPOSITIONS:
            raise HTTPException(400, f"closed needs a disposition: {', '.join(DISPOSITIONS)}")
        if "text/html" in request.headers.get("accept", ""):
            task = asyncio.create_task(self._from_button(incident, stage, extra))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return RedirectResponse("/", 303)
        return JSONResponse(await self._send(incident, stage, extra))

    async def _from_button(self, incident: Incident, stage: str, extra: dict[str, Any]) -> None:
        await self._send(incident, stage, extra)

    async def behave(self, request: Request) -> Response:
        """{"slow_s": 2, "refuse": true, "fail": 3, "later": false}, any of them; answers with all."""
        _same_origin(request)
        try:
            self.desk.behaviour.change(await _asked(request))
        except ValueError as error:
            raise HTTPException(400, str(error)) from error
        await self.desk.tell()
        return JSONResponse(asdict(self.desk.behaviour))

    async def received(self, request: Request) -> Response:
        """Every delivery signed well; ?at_least=N&timeout_s=S waits for N arrivals, repeats counted."""
        try:
            at_least = int(request.query_params.get("at_least", "0"))
            limit_s = min(float(request.query_params.get("timeout_s", "10")), WAIT_LIMIT_S)
        except ValueError as error:
            raise HTTPException(400, "at_least and timeout_s are numbers") from error
        try:
            async with asyncio.timeout(limit_s):
                await self.desk.wait_for_arrivals(at_least)
        except TimeoutError:
            return JSONResponse({"error": f"only {self.desk.arrivals} have arrived"}, 408)
        return JSONResponse([asdict(each) for each in self.desk.received.values()])

    async def page(self, request: Request) -> Response:
        nonce = secrets.token_urlsafe(16)
        newest = list(self.desk.incidents.values())[::-1][:ON_PAGE]
        html = self._page.get_template("page.html").render(
            incidents=newest,
            desk=self.desk,
            nonce=nonce,
            stages=STAGES,
            dispositions=DISPOSITIONS,
        )
        policy = (
            f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'; "
            "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
        )
        headers = {
            "content-security-policy": policy,
            "cache-control": "no-store",
            "x-content-type-options": "nosniff",
            "referrer-policy": "same-origin",
        }
        return HTMLResponse(html, headers=headers)

    async def changes(self, request: Request) -> Response:
        """Server-sent events: one line when something has changed after ?after=VERSION."""
        after = request.query_params.get("after", "0")
        version = int(after) if after.isascii() and after.isdigit() and len(after) < 16 else 0

        async def stream() -> AsyncIterator[str]:
            yield "retry: 1000\n\n"
            yield f"data: {await self.desk.wait_for_version_after(version)}\n\n"

        headers = {"cache-control": "no-store"}
        return StreamingResponse(stream(), media_type="text/event-stream", headers=headers)


def _incident_id(said: dict[str, Any]) -> Any:
    data = said.get("data")
    return data.get("incident") if isinstance(data, dict) else None


def _same_origin(request: Request) -> None:
    """A page of another site must not press these buttons."""
    origin = request.headers.get("origin")
    if origin is not None and origin.split("://")[-1] != request.headers.get("host"):
        raise HTTPException(403, "this came from another site's page")


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_LIMIT_BYTES:
            raise HTTPException(413, "too long")
    return bytes(body)


async def _asked(request: Request) -> dict[str, Any]:
    """A JSON object, or a form's fields."""
    body = await _body(request)
    if "json" not in request.headers.get("content-type", ""):
        return {name: values[-1] for name, values in parse_qs(body.decode(errors="replace")).items()}
    try:
        asked = json.loads(body or b"{}")
    except ValueError as error:
        raise HTTPException(400, f"not JSON: {error}") from error
    if not isinstance(asked, dict):
        raise HTTPException(400, "not a JSON object")
    return asked
