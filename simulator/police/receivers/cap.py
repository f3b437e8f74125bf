"""A CAP receiver: takes POSTs of CAP 1.2 and answers each with a CAP Ack, or with what it is told to answer."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException, ElementTree
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

NAMESPACE = "urn:oasis:names:tc:emergency:cap:1.2"
MOST_BYTES = 256 << 10
SENDER = "agency@example.org"


class Receiver:
    """heard: called with what came, {"identifier", "msgType", "status", "headline", "references", "answer"}."""

    def __init__(self, heard: Callable[[dict[str, Any]], None]) -> None:
        self._heard = heard

    @property
    def asgi(self) -> Starlette:
        """POST /cap takes messages; GET / says that it listens."""
        hello = Route("/", lambda _request: PlainTextResponse("a CAP receiver: POST to /cap\n"), methods=["GET"])
        return Starlette(routes=[hello, Route("/cap", self._take, methods=["POST"])])

    async def _take(self, request: Request) -> Response:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > MOST_BYTES:
                return PlainTextResponse("too long\n", 413)
        try:
            alert = ElementTree.fromstring(bytes(body))
        except (ParseError, DefusedXmlException, ValueError) as error:
            self._heard({"identifier": "", "msgType": "", "answer": 400})
            return PlainTextResponse(f"not XML: {error}\n", 400)
        said = {each.tag.rpartition("}")[2]: each.text or "" for each in alert if len(each) == 0}
        if alert.tag != f"{{{NAMESPACE}}}alert" or not {"identifier", "sender", "sent", "msgType"} <= set(said):
            self._heard({"identifier": "", "msgType": "", "answer": 422})
            return PlainTextResponse("not a CAP 1.2 alert\n", 422)
        headline = alert.findtext(f"{{{NAMESPACE}}}info/{{{NAMESPACE}}}headline") or ""
        wanted = ("identifier", "msgType", "status", "references")
        self._heard({**{name: said.get(name, "") for name in wanted}, "headline": headline, "answer": "Ack"})
        return Response(_ack(said), media_type="application/cap+xml")


def _ack(said: dict[str, str]) -> str:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S-00:00")
    of = ",".join(said[name].replace("&", "").replace("<", "") for name in ("sender", "identifier", "sent"))
    return (
        f'<alert xmlns="{NAMESPACE}"><identifier>{uuid.uuid4()}</identifier><sender>{SENDER}</sender>'
        f"<sent>{now}</sent><status>Actual</status><msgType>Ack</msgType><scope>Private</scope>"
        f"<addresses>{of.partition(',')[0]}</addresses><references>{of}</references></alert>"
    )
