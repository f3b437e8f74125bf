"""Where apps that people already have send their positions: /sos/apps/traccar/<key> and /sos/apps/owntracks/<key>.

What they say becomes the contract's JSON, signed here with the phone's own key, and goes the way of all others.
"""

from __future__ import annotations

import asyncio
import json
import logging
from urllib.parse import parse_qsl

import sqlalchemy as sa
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.clock import Clock, now_us
from gateway.incidents import stages
from gateway.ingest import phone
from gateway.ingest.calls import Busy, Calls
from gateway.phone import apps
from gateway.phone.bodies import RETRY_S, with_body
from gateway.registry.devices import PHONE, Device, get_device
from gateway.store.engine import Store
from gateway.store.schema import alarms, incidents
from panic_wire.topics import device_id, device_name, parse
from sigap.headers import HEADERS

log = logging.getLogger("sigap.phone")


class AppPages:
    """routes() below /sos."""

    def __init__(self, store: Store, calls: Calls, clock: Clock = now_us) -> None:
        self._store, self._calls, self._clock = store, calls, clock

    def routes(self) -> list[Route]:
        return [Route("/apps/{app}/{key}", self.take, methods=["GET", "POST"])]

    async def take(self, request: Request) -> Response:
        app, key = request.path_params["app"], request.path_params["key"]
        if app not in (apps.TRACCAR, apps.OWNTRACKS):
            return JSONResponse({"error": "no such app"}, 404, HEADERS)

        async def answer(body: bytes) -> Response:
            device, open_alarm = await asyncio.to_thread(self._whose, key)
            if device is None:
                return JSONResponse({"error": "no such phone"}, 403, HEADERS)
            now_s = self._clock() / 1e6
            try:
                if app == apps.OWNTRACKS:
                    message = apps.from_owntracks(body, now_s)
                else:
                    parameters = dict(request.query_params) or dict(parse_qsl(body.decode(errors="replace")))
                    message = apps.from_traccar(body, parameters, now_s)
            except apps.AppError as error:
                self._calls.put_aside(device_name(device.id), body)
                log.warning("what %s of %s says cannot be read: %s", app, device.name, error)
                return JSONResponse({"error": str(error)}, 400, HEADERS)
            if message is not None:
                said = apps.as_contract(app, message, device.id, now_s, open_alarm)
                jws = phone.signed(phone.mac_key(device.root_key, device.id, "up"), json.dumps(said).encode())
                try:
                    await self._calls.ask(device_name(device.id), jws)
                except (Busy, TimeoutError):
                    return JSONResponse({"error": "busy"}, 503, {**HEADERS, "retry-after": RETRY_S})
            return JSONResponse([], headers=HEADERS)  # what OwnTracks expects; Traccar Client wants a 200

        return await with_body(request, answer)

    def _whose(self, key: str) -> tuple[Device | None, int | None]:
        """The phone, and its newest alarm that is not closed."""
        name = key.partition("-")[0]
        if parse(phone.up(name)) is None:
            return None, None
        with self._store.read() as conn:
            found = get_device(conn, device_id(name))
            if found is None or found.kind != PHONE or not apps.is_key(found.root_key, found.id, key):
                return None, None
            query = sa.select(alarms.c.activation).join(incidents, incidents.c.id == alarms.c.incident_id)
            mine = query.where(alarms.c.device_id == found.id, incidents.c.state != stages.CLOSED)
            return found, conn.execute(mine.order_by(alarms.c.received_at.desc()).limit(1)).scalar()
