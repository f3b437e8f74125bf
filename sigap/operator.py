"""An operator without a browser: logs in at the desk by its link and presses its buttons, over the desk's routes."""

from __future__ import annotations

import html
import http.cookiejar
import re
import urllib.error
import urllib.parse
import urllib.request

from sigap.problem import Problem

LIMIT_S = 10.0
_TOKEN = re.compile(r'name="form_token" value="([0-9a-f]+)"')
_INCIDENT = re.compile(r'<tr class="(?!test|closed)[a-z_]+" data-incident="([0-9a-f-]+)"')
_UNITS = re.compile(r'<select name="unit".*?</select>', re.DOTALL)
_OPTION = re.compile(r'<option value="([^"]+)"')


class DeskOperator:
    """link: as Local.login_link() makes it. Problem for everything that the desk refuses."""

    def __init__(self, link: str) -> None:
        parts = urllib.parse.urlsplit(link)
        self._desk = f"{parts.scheme}://{parts.netloc}"
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        # The desk is asked as by a browser: a page for everything, and no proxy in between.
        self._opener = urllib.request.build_opener(cookies, urllib.request.ProxyHandler({}))
        self._opener.addheaders = [("accept", "text/html")]
        self._ask("/link", {"t": urllib.parse.parse_qs(parts.query)["t"][0]})

    def find_open_incident(self) -> str | None:
        """The first emergency on the queue that is not closed, or None."""
        found = _INCIDENT.search(self._ask("/"))
        return found[1] if found else None

    def open_incident(self) -> str:
        """The same, when there must be one."""
        found = self.find_open_incident()
        if found is None:
            raise Problem("the desk shows no open emergency", "See the gateway's log")
        return found

    def act(self, incident: str, stage: str, **fields: str) -> None:
        """Press the button of this stage on the incident's page."""
        page = self._ask(f"/incidents/{incident}")
        token = _TOKEN.search(page)
        if token is None:
            raise Problem("the desk's page has no form", "See the gateway's log")
        self._ask(f"/incidents/{incident}/{stage}", {"form_token": token[1], **fields})

    def units(self, incident: str) -> list[str]:
        """The units that the incident's page offers."""
        offered = _UNITS.search(self._ask(f"/incidents/{incident}"))
        return [html.unescape(each) for each in _OPTION.findall(offered[0])] if offered else []

    def _ask(self, path: str, form: dict[str, str] | None = None) -> str:
        data = None if form is None else urllib.parse.urlencode(form).encode()
        try:
            with self._opener.open(self._desk + path, data, timeout=LIMIT_S) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError as error:
            said = error.read(500).decode(errors="replace")
            raise Problem(f"the desk answered {error.code} to {path}: {said}", "See the gateway's log") from error
        except OSError as error:
            raise Problem(f"the desk does not answer at {self._desk}: {error}", "See the gateway's log") from error
