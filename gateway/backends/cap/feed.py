"""GET /v1/backends/{name}/feed and .../feed/{id}: CAP messages as an Atom feed (RFC 4287), for those who fetch.

Behind a password (HTTP Basic, any user name), since people are named in it. The newest are in it, an entry each, which
links to the message itself.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import secrets
from collections.abc import Iterable
from typing import Any
from xml.etree import ElementTree as xml

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.backend_settings import CapSettings
from gateway.backends.cap import message
from gateway.backends.cap.backend import references
from gateway.outbox import rows
from gateway.store.engine import Store
from gateway.words import DEFAULT, translator

ATOM = "http://www.w3.org/2005/Atom"
MOST_ENTRIES = 100
WRONG_PASSWORD_S, MOST_GUESSING = 1.0, 10
SAFE = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


def routes(store: Store, backends: Iterable[CapSettings], source: str) -> list[Route]:
    """The feed's routes, for those of `backends` that have one. source: the gateway's name."""
    opened = {each.name: each for each in backends if each.feed_password}

    guessing = asyncio.Semaphore(MOST_GUESSING)

    async def let_in(request: Request) -> CapSettings | Response:
        settings = opened.get(request.path_params["name"])
        if settings is None:
            return Response("there is no such feed\n", 404, SAFE, "text/plain")
        given = _password(request.headers.get("authorization", ""))
        if secrets.compare_digest(given.encode(), settings.feed_password.encode()):
            return settings
        # Guessing is slow, and only so many may guess at once; who knows the password does not wait.
        if guessing.locked():
            return Response("too many wrong passwords\n", 429, {**SAFE, "retry-after": "2"}, "text/plain")
        async with guessing:
            await asyncio.sleep(WRONG_PASSWORD_S)
        headers = {**SAFE, "www-authenticate": 'Basic realm="Sigap", charset="UTF-8"'}
        return Response("this feed has a password\n", 401, headers, "text/plain")

    async def feed(request: Request) -> Response:
        settings = await let_in(request)
        if isinstance(settings, Response):
            return settings
        told = await asyncio.to_thread(_newest, store, settings)
        content = atom(told, str(request.url.replace(query="")), settings, source)
        return Response(content, headers=SAFE, media_type="application/atom+xml; charset=utf-8")

    async def one(request: Request) -> Response:
        settings = await let_in(request)
        if isinstance(settings, Response):
            return settings
        content = await asyncio.to_thread(_message, store, settings, request.path_params["id"])
        if content is None:
            return Response("there is no such message\n", 404, SAFE, "text/plain")
        return Response(content, headers=SAFE, media_type=f"{message.CONTENT_TYPE}; charset=utf-8")

    return [
        Route("/v1/backends/{name}/feed", feed, methods=["GET"]),
        Route("/v1/backends/{name}/feed/{id}", one, methods=["GET"]),
    ]


def atom(told: list[dict[str, Any]], url: str, settings: CapSettings, source: str) -> bytes:
    """The feed's document. told: payloads, newest first. url: its own."""
    _ = translator(DEFAULT)
    root = xml.Element("feed", {"xmlns": ATOM, "xml:lang": message.LANGUAGE_TAGS[DEFAULT]})
    _text(root, "id", f"urn:sigap:gateway:{source}:feed:{settings.name}")
    _text(root, "title", _("Panic buttons of {name}").format(name=source))
    _text(root, "updated", told[0]["time"] if told else "2026-01-01T00:00:00.000Z")
    xml.SubElement(root, "link", {"rel": "self", "href": url, "type": "application/atom+xml"})
    author = xml.SubElement(root, "author")
    _text(author, "name", settings.sender)
    for payload in told:
        data, entry = payload["data"], xml.SubElement(root, "entry")
        _text(entry, "id", f"urn:uuid:{payload['id']}")
        name = (data["owner"] or {}).get("name") or data["device_name"]
        _text(entry, "title", message.headline(_, data, _ends(data)).format(name=name))
        _text(entry, "updated", payload["time"])
        # Without a type: readers offer no link that says it is not a page.
        xml.SubElement(entry, "link", {"rel": "alternate", "href": f"{url}/{payload['id']}"})
        place = data["position"]
        where = data["site"] or (f"{place['lat']:.5f}, {place['lon']:.5f}" if place["lat"] is not None else "")
        _text(entry, "summary", where or _("not known yet"))
    return b"<?xml version='1.0' encoding='UTF-8'?>\n" + xml.tostring(root, encoding="utf-8", xml_declaration=False)


def _ends(data: dict[str, Any]) -> bool:
    return data["change"] in message.ENDS


def _newest(store: Store, settings: CapSettings) -> list[dict[str, Any]]:
    with store.read() as conn:
        return rows.told_newest(conn, settings.destination, MOST_ENTRIES)


def _message(store: Store, settings: CapSettings, delivery_id: str) -> bytes | None:
    destination = settings.destination
    with store.read() as conn:
        found = rows.told_one(conn, destination, delivery_id)
        if found is None:
            return None
        payload, created_at = found
        before = rows.told_before(conn, destination, payload["subject"], created_at)
    named = references(settings.sender, before)
    kind = message.kind_of(payload, bool(named))
    if kind is None:
        return None
    return message.build(payload, kind, sender=settings.sender, references=named, late_s=None)


def _password(header: str) -> str:
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(encoded, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _text(parent: xml.Element, name: str, text: str) -> None:
    xml.SubElement(parent, name).text = message.clean(text)
