"""The desk's pages and what its buttons do."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from sqlalchemy.exc import OperationalError
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from gateway.clock import Clock, now_us
from gateway.desk import labels, look, together, trouble_words
from gateway.desk.guard import ANYBODY, COOKIE, HEADERS, STAFF, Guard, Limiter, Visit, set_session
from gateway.desk.live import Live
from gateway.desk.phones_page import PhonesPage
from gateway.desk.spots import spots
from gateway.incidents import stages
from gateway.incidents.book import Book, UnknownIncident
from gateway.incidents.deadline import late_count
from gateway.incidents.merging import CannotBeMoved
from gateway.outbox import amiss
from gateway.registry import logins, operators, units
from gateway.registry.operators import ADMINISTRATOR
from gateway.store.engine import Store
from gateway.store.problems import StoreProblem
from gateway.supervision.troubles import lasting_count
from gateway.words import DEFAULT, LANGUAGES, translator
from panic_wire.topics import device_id

log = logging.getLogger("sigap.desk")

FOLDER = Path(__file__).parent
LANGUAGE_COOKIE = "sigap_language"
TEXT_LIMIT = 300
ACTIONS = stages.STATES[1:]
TOGETHER = "together"  # in place of a stage: a merge or a split came too late


class Desk:
    """routes() for gateway.http. wake: called after each commit that put something into the outbox. deadlines: how long
    a delivery may wait, by prefix of its destination (`Outbox.deadlines`). phone_base: where phones find this gateway.
    refresh: the broker's files, after a phone was revoked."""

    def __init__(
        self,
        store: Store,
        book: Book,
        wake: Callable[[], None],
        zone: ZoneInfo,
        name: str,
        clock: Clock = now_us,
        deadlines: Mapping[str, float] | None = None,
        phone_base: str = "",
        refresh: Callable[[], object] = lambda: None,
    ) -> None:
        self._deadlines = deadlines or {}
        self._store, self._book, self._wake, self._zone, self._name = store, book, wake, zone, name
        self._clock, self._guard, self._limiter = clock, Guard(store, clock), Limiter()
        self._phones = PhonesPage(store, clock, zone, phone_base, refresh, self._page)
        self._live = Live(store, self._queue_html)
        self._templates = Environment(
            loader=FileSystemLoader(FOLDER / "templates"), autoescape=True, undefined=StrictUndefined
        )

    def changed(self) -> None:
        """Something was committed: open pages show it now, not at their next look. From any thread."""
        self._live.changed()

    def routes(self) -> list[Route | Mount]:
        """Every route with the roles that may use it. Files of our own need no login."""
        pages = [
            ("/login", "GET", self.login_page, ANYBODY),
            ("/login", "POST", self.login, ANYBODY),
            ("/link", "GET", self.link_page, ANYBODY),
            ("/link", "POST", self.link, ANYBODY),
            ("/language", "POST", self.language, ANYBODY),
            ("/logout", "POST", self.logout, STAFF),
            ("/", "GET", self.queue, STAFF),
            ("/live", "GET", self.live, STAFF),
            ("/tests/closed", "POST", self.close_tests, STAFF),
            ("/incidents/{id}", "GET", self.incident, STAFF),
            ("/incidents/{id}/merge", "POST", self.merge, STAFF),
            ("/incidents/{id}/split", "POST", self.split, STAFF),
            ("/incidents/{id}/{stage}", "POST", self.act, STAFF),
            ("/troubles", "GET", self.troubles, STAFF),
            ("/operators", "GET", self.operators, (ADMINISTRATOR,)),
            *self._phones.pages(),
        ]
        self.table = [(method, path, roles) for path, method, _, roles in pages]
        routes = [Route(path, self._guard.guarded(page, roles), methods=[how]) for path, how, page, roles in pages]
        return [*routes, Mount("/static", StaticFiles(directory=FOLDER / "static"))]

    # Before the login.

    async def login_page(self, visit: Visit) -> Response:
        return self._page(visit, "login.html", problem=None)

    async def login(self, visit: Visit) -> Response:
        name, password = visit.form.get("name", "").strip(), visit.form.get("password", "")
        address = visit.request.client.host if visit.request.client else ""
        keys = (f"name {name[:100].casefold()}", f"address {address}")
        _ = self._translate(visit)
        if self._limiter.is_blocked(*keys):
            problem = _("Too many wrong passwords. Wait five minutes, or ask an administrator for a link.")
            return self._page(visit, "login.html", 429, problem=problem)
        operator = await asyncio.to_thread(self._verified, name, password)
        if operator is None:
            self._limiter.failed(*keys)
            log.warning("a login of %r from %s failed", name[:100], address)
            return self._page(visit, "login.html", 401, problem=_("Name or password is wrong."))
        token = await asyncio.to_thread(self._begin, operator.id)
        return set_session(RedirectResponse("/", 303), token, visit.request.url.scheme == "https")

    async def link_page(self, visit: Visit) -> Response:
        # A button and no redirect: what only looks at a link must not use it up.
        return self._page(visit, "link.html", token=visit.request.query_params.get("t", "")[:100])

    async def link(self, visit: Visit) -> Response:
        token = await asyncio.to_thread(self._take_link, visit.form.get("t", ""))
        if token is None:
            _ = self._translate(visit)
            problem = _("This link was used, or is too old. Log in, or ask for another.")
            return self._page(visit, "login.html", 401, problem=problem)
        return set_session(RedirectResponse("/", 303), token, visit.request.url.scheme == "https")

    async def language(self, visit: Visit) -> Response:
        response = RedirectResponse("/", 303)
        if (wanted := visit.form.get("language", "")) in LANGUAGES:
            if visit.operator is not None:
                await asyncio.to_thread(self._set_language, visit.operator.id, wanted)
            response.set_cookie(LANGUAGE_COOKIE, wanted, max_age=365 * 86400, httponly=True, samesite="strict")
        return response

    async def logout(self, visit: Visit) -> Response:
        await asyncio.to_thread(self._end, visit.token)
        response = RedirectResponse("/login", 303)
        response.delete_cookie(COOKIE)
        return response

    # The desk.

    async def queue(self, visit: Visit) -> Response:
        newest, values = await asyncio.to_thread(self._read, self._queue)
        return self._page(visit, "queue.html", newest=newest, **values)

    async def incident(self, visit: Visit) -> Response:
        wanted = visit.request.path_params["id"]
        newest, found = await asyncio.to_thread(self._read, lambda conn: self._incident(conn, wanted))
        if found is None:
            raise HTTPException(404, "there is no such incident", headers=HEADERS)
        came_second = visit.request.query_params.get("second", "")
        who = None
        if came_second in ACTIONS:
            _, who = await asyncio.to_thread(self._read, lambda conn: look.who_did(conn, wanted, came_second))
        return self._page(visit, "incident.html", newest=newest, second=came_second, who=who, **found)

    async def act(self, visit: Visit) -> Response:
        wanted, stage = visit.request.path_params["id"], visit.request.path_params["stage"]
        if stage not in ACTIONS:
            raise HTTPException(404, "there is no such stage", headers=HEADERS)
        data = {
            key: visit.form[key].strip()[:TEXT_LIMIT] for key in ("unit", "note") if visit.form.get(key, "").strip()
        }
        if stage == stages.DISPATCHED:
            _newest, offered = await asyncio.to_thread(self._read, units.list_units)
            if data.get("unit") not in offered:
                raise HTTPException(400, "choose one of the units on the list", headers=HEADERS)
        if stage == stages.CLOSED:
            data["disposition"] = visit.form.get("disposition", "")
            if data["disposition"] not in stages.DISPOSITIONS:
                raise HTTPException(400, "say how it ended", headers=HEADERS)
        changed = await self._do(visit, self._record, wanted, stage, data)
        return RedirectResponse(f"/incidents/{wanted}{'' if changed else f'?second={stage}'}", 303)

    async def merge(self, visit: Visit) -> Response:
        other = visit.form.get("other", "")
        return await self._together(visit, self._book.merge, other)

    async def split(self, visit: Visit) -> Response:
        try:
            device = device_id(visit.form.get("device", ""))
        except ValueError as error:
            raise HTTPException(400, "choose one of the buttons", headers=HEADERS) from error
        return await self._together(visit, self._book.split, device)

    async def _together(self, visit: Visit, what: Callable[..., str], *more: Any) -> Response:
        wanted = visit.request.path_params["id"]
        goes_on = await self._do(visit, what, wanted, *more)
        return RedirectResponse(f"/incidents/{goes_on or f'{wanted}?second={TOGETHER}'}", 303)

    async def _do(self, visit: Visit, what: Callable[..., Any], incident: str, *more: Any) -> Any:
        """What an operator does with an incident, in a transaction of its own: what(conn, incident, *more, actor, now).

        None for a merge or a split that cannot be done: somebody else was first. HTTPException for all else.
        """
        actor = visit.actor
        try:
            done = await asyncio.to_thread(self._write, what, incident, *more, actor)
        except UnknownIncident as error:
            raise HTTPException(404, "there is no such incident", headers=HEADERS) from error
        except CannotBeMoved as error:
            log.info("not done for %s with %s: %s", actor, incident, error)
            return None
        except (OperationalError, StoreProblem) as error:
            log.error("what %s did could not be stored: %s", actor, error)
            raise HTTPException(503, "it could not be stored; do it again", headers=HEADERS) from error
        self._wake()
        return done

    async def close_tests(self, visit: Visit) -> Response:
        assert visit.operator is not None
        await asyncio.to_thread(self._close_tests, f"operator:{visit.operator.name}")
        self._wake()
        return RedirectResponse("/", 303)

    async def live(self, visit: Visit) -> Response:
        if self._live.is_full:
            raise HTTPException(503, "too many desks are open", headers=HEADERS)
        last = visit.request.headers.get("last-event-id") or visit.request.query_params.get("seen", "0")
        seen = int(last) if last.isascii() and last.isdigit() and len(last) < 19 else 0
        language = self._language(visit) if visit.request.query_params.get("page") == "queue" else ""
        return StreamingResponse(self._live.stream(seen, language), media_type="text/event-stream")

    async def troubles(self, visit: Visit) -> Response:
        newest, (found, unseen) = await asyncio.to_thread(
            self._read, lambda conn: (look.troubles_page(conn, self._zone, self._untold(conn)), look.unseen(conn))
        )
        return self._page(visit, "troubles.html", newest=newest, unseen=unseen, **found)

    async def operators(self, visit: Visit) -> Response:
        _newest, (found, offered) = await asyncio.to_thread(
            self._read, lambda conn: (operators.list_operators(conn), units.every_unit(conn, revoked=False))
        )
        return self._page(visit, "operators.html", operators=found, units=offered)

    # What touches the store, in threads.

    def _read(self, what: Callable[[Any], Any]) -> tuple[int, Any]:
        with self._store.read() as conn:
            return look.newest_event(conn), what(conn)

    def _queue(self, conn: Any) -> dict[str, Any]:
        emergencies = look.queue(conn, self._zone)
        still_open = [each for each in emergencies if each["state"] != stages.CLOSED]
        tests = look.queue(conn, self._zone, tests=True)
        return {
            "incidents": emergencies,
            "tests": tests,
            "spots": spots(conn, still_open),
            "unseen": look.unseen(conn),
            "lasting": lasting_count(conn),
            "untold": len(self._untold(conn)) + late_count(conn),
        }

    def _untold(self, conn: Any) -> list[dict[str, Any]]:
        return amiss.listed(conn, self._clock(), self._deadlines)

    def _incident(self, conn: Any, wanted: str) -> dict[str, Any] | None:
        found = look.incident(conn, wanted, self._zone)
        if found is None:
            return None
        return {"incident": found, "unseen": look.unseen(conn), "units": together.units_for(conn, found["position"])}

    def _queue_html(self, language: str) -> str:
        _newest, values = self._read(self._queue)
        return self._templates.get_template("queue_live.html").render({**self._words(language), **values})

    def _close_tests(self, actor: str) -> None:
        data = {"disposition": "test"}
        with self._store.write() as conn:
            for each in look.open_tests(conn):
                self._book.record_stage(conn, each, stages.CLOSED, actor, data, self._clock())

    def _set_language(self, operator_id: int, language: str) -> None:
        with self._store.write() as conn:
            operators.set_language(conn, operator_id, language)

    def _write(self, what: Callable[..., Any], *arguments: Any) -> Any:
        with self._store.write() as conn:
            return what(conn, *arguments, self._clock())

    def _record(self, conn: Any, incident: str, stage: str, data: dict[str, Any], actor: str, now_us: int) -> bool:
        return self._book.record_stage(conn, incident, stage, actor, data, now_us)

    def _verified(self, name: str, password: str) -> operators.Operator | None:
        with self._store.read() as conn:
            found, hashed = operators.find_hash(conn, name)
        return found if operators.is_password(password, hashed) else None

    def _begin(self, operator_id: int) -> str:
        with self._store.write() as conn:
            return logins.begin(conn, operator_id, self._clock())

    def _take_link(self, token: str) -> str | None:
        with self._store.write() as conn:
            return logins.take_link(conn, token, self._clock())

    def _end(self, token: str) -> None:
        with self._store.write() as conn:
            logins.end(conn, token)

    def _language(self, visit: Visit) -> str:
        """The operator's; before the login, what this browser chose last."""
        said = visit.operator.language if visit.operator else visit.request.cookies.get(LANGUAGE_COOKIE, DEFAULT)
        return said if said in LANGUAGES else DEFAULT

    def _translate(self, visit: Visit) -> Callable[[str], str]:
        return translator(self._language(visit))

    def _words(self, language: str) -> dict[str, Any]:
        translate = translator(language)
        return {
            "_": translate,
            "language": language,
            "states": labels.STATES,
            "told": labels.TOLD,
            "cancels": labels.CANCELS,
            "what": lambda kind, data: labels.event_words(kind, data, translate),
            "trouble": lambda name: trouble_words.trouble_words(name, translate),
            "todo": lambda name: trouble_words.todo_words(name, translate),
            "value": lambda name, value: trouble_words.value_words(name, value, translate),
            "actions": labels.ACTIONS,
            "dispositions": labels.DISPOSITIONS,
            "destination": lambda name: labels.destination_words(name, translate),
            "by": lambda actor: labels.actor_words(actor, translate),
            "said": lambda data: labels.said(data, translate),
        }

    def _page(self, visit: Visit, template: str, status: int = 200, **values: Any) -> Response:
        words = {**self._words(self._language(visit)), "visit": visit, "gateway": self._name}
        # A page with `newest` keeps a live line.
        words |= {"newest": None, "unseen": 0}
        return HTMLResponse(self._templates.get_template(template).render({**words, **values}), status)
