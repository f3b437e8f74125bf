"""The desk's page Phones: who asks to register, invitations as a picture to scan, and phones that are lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

import segno
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from gateway.clock import Clock
from gateway.desk.guard import HEADERS, STAFF, Page, Visit
from gateway.desk.times import local
from gateway.registry import phones
from gateway.store.engine import Store
from sigap.problem import Problem

MOST_PHONES = 500
DECISIONS = {"approved": True, "refused": False}


class PhonesPage:
    """render(visit, template, status, **values): as the desk shows its pages. base: where phones find this gateway.
    refresh: the broker's files, after a phone was revoked."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        zone: ZoneInfo,
        base: str,
        refresh: Callable[[], object],
        render: Callable[..., Response],
    ) -> None:
        self._store, self._clock, self._zone, self._base = store, clock, zone, base
        self._refresh, self._render = refresh, render

    def pages(self) -> list[tuple[str, str, Page, tuple[str, ...]]]:
        """As the desk's table: path, method, what answers, who may."""
        return [
            ("/phones", "GET", self.show, STAFF),
            ("/phones", "POST", self.invite, STAFF),
            ("/phones/{name}/revoked", "POST", self.revoke, STAFF),
            ("/registrations/{asked}/{decision}", "POST", self.decide, STAFF),
        ]

    async def show(self, visit: Visit) -> Response:
        return self._page(visit, await asyncio.to_thread(self._read))

    async def invite(self, visit: Visit) -> Response:
        """For whom the operator says, or for whoever scans it."""
        link = None
        try:
            link = await asyncio.to_thread(self._invite, visit.form.get("owner", "").strip(), visit.actor)
        except Problem:
            return self._page(visit, await asyncio.to_thread(self._read), 400, unknown=True)
        picture = segno.make(link, error="m").svg_data_uri(scale=6, light="#fff")
        return self._page(visit, await asyncio.to_thread(self._read), link=link, picture=picture)

    async def revoke(self, visit: Visit) -> Response:
        name = visit.request.path_params["name"]
        if not await asyncio.to_thread(self._write, phones.revoke, name, visit.actor):
            raise HTTPException(404, "there is no such phone", headers=HEADERS)
        await asyncio.to_thread(self._refresh)
        return RedirectResponse("/phones", 303)

    async def decide(self, visit: Visit) -> Response:
        """Let in who asked, or not."""
        asked, decision = visit.request.path_params["asked"], visit.request.path_params["decision"]
        try:
            token_hash, approved = bytes.fromhex(asked), DECISIONS[decision]
        except (ValueError, KeyError) as error:
            raise HTTPException(404, "there is nothing to decide", headers=HEADERS) from error
        await asyncio.to_thread(self._write, phones.decide, token_hash, approved, visit.actor)
        return RedirectResponse("/phones", 303)

    def _page(self, visit: Visit, read: dict[str, Any], status: int = 200, **values: Any) -> Response:
        shown = {"link": None, "picture": None, "unknown": False, **read, **values}
        return self._render(visit, "phones.html", status, **shown)

    def _read(self) -> dict[str, Any]:
        with self._store.read() as conn:
            found = phones.listed(conn, revoked=False)[:MOST_PHONES]
            waiting = phones.waiting_ones(conn, self._clock())
        return {
            "phones": [{**each._mapping, "heard": self._when(each.last_heard_at)} for each in found],
            "waiting": [
                {"asked": each.token_hash.hex(), "about": each.about, "since": self._when(each.created_at)}
                for each in waiting
            ],
        }

    def _when(self, at: int | None) -> Any:
        return None if at is None else local(at, self._zone)

    def _invite(self, owner: str, actor: str) -> str:
        with self._store.write() as conn:
            token = phones.invite(conn, invited_by=actor, owner=owner or None, now_us=self._clock())
        return phones.invitation_link(self._base, token)

    def _write(self, what: Callable[..., bool], *arguments: Any) -> bool:
        with self._store.write() as conn:
            return what(conn, *arguments, self._clock())
