"""What tests of backends share: a payload as the book writes it, a delivery of it, and who records acceptance."""

from __future__ import annotations

import copy
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from gateway.clock import now_us
from gateway.outbox.port import Delivery, Outcome

INCIDENT = "01a3f4e2-9c62-7000-8000-000000000001"
DATA: dict[str, Any] = {
    "incident": INCIDENT,
    "change": "opened",
    "test": False,
    "state": "open",
    "accepted": False,
    "disposition": None,
    "opened_at": "2026-11-24T03:40:41.250Z",
    "merged_into": None,
    "other_incident": None,
    "device": "0000a1b2",
    "device_name": "shop-1",
    "device_revoked": False,
    "owner": {
        "name": "Toko Contoh",
        "telephone": "+62 24 000000",
        "address": "Jalan Contoh 1, Semarang",
        "language": "id",
        "registered_message": "Tolong, ada bahaya di toko.",
    },
    "silent": False,
    "cancel": None,
    "site": "kasir",
    "alarms": [
        {
            "alarm": "0000a1b2-7",
            "activation": 7,
            "pressed_at": "2026-11-24T03:40:40.838Z",
            "age_is_minimum": False,
            "received_at": "2026-11-24T03:40:41.250Z",
            "silent": False,
            "bearer": "wifi",
            "battery_mv": 0,
            "moved": False,
            "doubtful": False,
            "cancelled_at": None,
            "duress": False,
        }
    ],
    "position": {
        "lat": -6.9824871,
        "lon": 110.4093217,
        "accuracy_m": 8,
        "source": "gps",
        "fix_at": "2026-11-24T03:40:39.250Z",
    },
    "other_devices": [],
}


def payload(number: int = 2, **data: Any) -> dict[str, Any]:
    """A CloudEvent of that incident; `data` on top of what is above."""
    return {
        "specversion": "1.0",
        "id": f"01a3f4e2-9c62-7000-8000-{number:012d}",
        "source": "urn:sigap:gateway:polres-semarang",
        "type": "id.sigap.incident.opened.v1",
        "subject": INCIDENT,
        "time": "2026-11-24T03:40:41.250Z",
        "datacontenttype": "application/json",
        "data": copy.deepcopy(DATA) | data,
    }


def delivery(number: int = 2, *, created_at: int | None = None, **data: Any) -> Delivery:
    """Of that payload, to the backend `police`."""
    event = payload(number, **data)
    at = now_us() if created_at is None else created_at
    return Delivery(event["id"], "backend:police", INCIDENT, event["type"], event, 1, at)


Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def far_side(answer: Answer, context: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A real HTTP server at a free port that answers POSTs so; its URL."""
    app = web.Application()
    app.router.add_post("/alarms", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    listener = socket.create_server(("127.0.0.1", 0))
    await web.SockSite(runner, listener, ssl_context=context).start()
    try:
        yield f"http{'s' if context else ''}://127.0.0.1:{listener.getsockname()[1]}/alarms"
    finally:
        await runner.cleanup()


class Accepted:
    """Stands where accepting.accepts does: keeps what was accepted, when its effect is run."""

    def __init__(self) -> None:
        self.of: list[tuple[str, object]] = []

    def __call__(self, delivery: Delivery, reference: object) -> Callable[[Any], object]:
        return lambda _conn: self.of.append((delivery.id, reference))


def settled(outcome: Outcome) -> Outcome:
    """The same, its effect run as the outbox runs it: of what is done."""
    if outcome.done and outcome.effect is not None:
        outcome.effect(None)  # pyright: ignore[reportArgumentType]
    return outcome
