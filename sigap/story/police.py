"""The police of a story: the demonstration desk of another police system."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

from sigap.local import POLICE
from sigap.problem import USAGE, Problem
from sigap.story.alarms import Alarm
from sigap.story.gateway import Gateway
from sigap.story.parts import Part
from sigap.story.stage import Stage, listens
from sigap.story.waiting import LIMIT_S, wait_until

REQUEST_LIMIT_S = 10.0


class Police(Part):
    """The demonstration desk of another police system, bridged by the signed webhook."""

    name = POLICE

    def __init__(self, stage: Stage, gateway: Gateway) -> None:
        super().__init__(stage)
        self._gateway = gateway

    def refuses(self) -> None:
        """From now on it answers every alarm with 403."""
        self._behave(refuse=True)

    def fails(self, times: int) -> None:
        """It answers so many of the next deliveries with 503."""
        self._behave(fail=times)

    def is_slow(self, seconds: float) -> None:
        """From now on each of its answers takes so long."""
        self._behave(slow_s=seconds)

    def decides_later(self) -> None:
        """From now on it takes alarms without accepting them; `accepts(alarm)` then does so by a status callback."""
        self._behave(later=True)

    def accepts(self, alarm: Alarm | None = None, within_s: float = LIMIT_S) -> None:
        """From now on it accepts at once what comes. With an alarm: wait until the gateway has that on disk."""
        __tracebackhide__ = True
        self._behave(refuse=False, fail=0, slow_s=0, later=False)
        if alarm is None:
            return
        began = self._stage.clock.now_s()
        answers = wait_until(
            self._stage.clock,
            lambda: [status for one in self.received(alarm) for status in one["answers"] if status in (200, 202)],
            f"the delivery of the alarm of {alarm.board} to the police",
            within_s,
            lambda: self._seen(alarm),
            self._stage.logs(),
        )
        if 200 not in answers and "accepted" not in self._gateway.stages(alarm):
            self._send(alarm, "accepted")
        left_s = max(0.0, began + within_s - self._stage.clock.now_s())
        self._gateway.waits_for("accepted", alarm, left_s)

    def acknowledges(self, alarm: Alarm) -> None:
        """Their operator has seen it; returns when the gateway has taken the signed status. Problem when it refuses."""
        self._send(alarm, "acknowledged")

    def dispatches(self, alarm: Alarm, unit: str = "") -> None:
        """They send officers."""
        self._send(alarm, "dispatched", **({"unit": unit} if unit else {}))

    def arrives(self, alarm: Alarm) -> None:
        """Their officers are on scene."""
        self._send(alarm, "on_scene")

    def closes(self, alarm: Alarm, disposition: str = "genuine") -> None:
        """It ended: genuine, false, test, exercise or unfounded."""
        self._send(alarm, "closed", disposition=disposition)

    def received(self, alarm: Alarm | None = None) -> list[dict[str, Any]]:
        """Every delivery signed well, oldest first; of the alarm's incident, or of all.

        [{"webhook_id", "at" (Unix ms), "body" (the CloudEvent), "arrivals", "times", "answers" (HTTP), "taken"}].
        """
        found = self._ask("api/received")
        return [one for one in found if alarm is None or one["body"]["data"]["incident"] == alarm.incident]

    def _behave(self, **how: Any) -> None:
        self._ask("behave", how)

    def _send(self, alarm: Alarm, stage: str, **fields: str) -> None:
        wait_until(
            self._stage.clock,
            lambda: any(one["taken"] for one in self.received(alarm)),
            f"the delivery of the alarm of {alarm.board} to the police",
            LIMIT_S,
            lambda: self._seen(alarm),
            self._stage.logs(),
        )
        sent = self._ask(f"incidents/{alarm.incident}/{stage}", fields)
        if not sent["ok"]:
            raise Problem(f"the gateway did not take {stage!r} from the police: {sent['answer']}", self._stage.logs())

    def _seen(self, alarm: Alarm) -> str:
        answers = [status for one in self.received(alarm) for status in one["answers"]]
        return f"the police answered {', '.join(map(str, answers)) or 'nothing'}; {self._stage.how()}"

    def _ask(self, path: str, asked: dict[str, Any] | None = None) -> Any:
        data = None if asked is None else json.dumps(asked).encode()
        request = urllib.request.Request(
            f"{self._stage.local.police_url}{path}", data, {"content-type": "application/json"}
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=REQUEST_LIMIT_S) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            said = error.read(500).decode(errors="replace")
            raise Problem(f"the police desk answered {error.code}: {said}", "Correct the call", USAGE) from error
        except OSError as error:
            raise Problem(f"the police desk does not answer: {error}", self._stage.logs()) from error

    def _is_ready(self) -> bool:
        return listens(self._stage.local.ports.police)
