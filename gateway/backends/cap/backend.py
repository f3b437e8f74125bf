"""Tells a disaster agency by CAP 1.2: by HTTP POST, and by an Atom feed that it fetches from us (feed.py).

`accepted` is a CAP message that comes back as the answer, with msgType Ack and a reference to ours: 2xx alone says that
a server has the bytes. Feeds are fetched by whoever likes: nobody accepts by that. By default it does not count as
received by the police at all (`receives`), since such an agency sends no officers.
"""

from __future__ import annotations

import asyncio
from typing import Any
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException
from defusedxml import ElementTree as safe_xml

from gateway.backend_settings import CapSettings
from gateway.backends.accepting import Accept
from gateway.backends.cap import message
from gateway.backends.posting import Poster
from gateway.backends.quality import Quality
from gateway.clock import Clock, now_us
from gateway.outbox import rows
from gateway.outbox.port import Delivery, Destination, Outcome
from gateway.outbox.retry import RetryPolicy
from gateway.store.engine import Store

POLICY = RetryPolicy()


class CapBackend(Destination):
    """The destination "backend:<name>". store: where it reads what it said of an incident before."""

    concurrency = 4

    def __init__(
        self, settings: CapSettings, accept: Accept, store: Store, clock: Clock = now_us, policy: RetryPolicy = POLICY
    ) -> None:
        self.prefix, self.policy = settings.destination, policy
        self.limit_s = settings.timeout_s + 5
        self._settings, self._accept, self._store, self._clock = settings, accept, store, clock
        self._poster = Poster(settings, self.concurrency)

    async def deliver(self, delivery: Delivery) -> Outcome:
        """POST it where there is an address; in the feed it is by being in the store."""
        if not self._settings.url:
            return Outcome(done=True, reached=True)
        references = await asyncio.to_thread(self._references, delivery)
        kind = message.kind_of(delivery.payload, bool(references))
        if kind is None:
            return Outcome(done=True, reached=True)
        late_s = delivery.late_s(self._clock())
        body = message.build(delivery.payload, kind, sender=self._settings.sender, references=references, late_s=late_s)
        headers = {
            "content-type": f"{message.CONTENT_TYPE}; charset=utf-8",
            "accept": f"{message.CONTENT_TYPE}, application/xml",
            "accept-encoding": "identity",
            "user-agent": "sigap",
        }
        answer = await self._poster.post(body, headers)
        if isinstance(answer, Outcome):
            return answer
        if not answer.ok:
            return answer.failure(self._clock() / 1e6)
        return self._judge(delivery, answer.body)

    async def close(self) -> None:
        await self._poster.close()

    def _references(self, delivery: Delivery) -> list[str]:
        with self._store.read() as conn:
            told = rows.told_before(conn, delivery.destination, delivery.incident_id, delivery.created_at)
        return references(self._settings.sender, told)

    def _judge(self, delivery: Delivery, body: bytes | None) -> Outcome:
        """A CAP Ack accepts, a CAP Error refuses; anything else is only 2xx."""
        said = answered(body)
        about = delivery.id in said.get("references", "").replace(",", " ").split()
        if said.get("msgType") == "Ack" and about:
            return Outcome(done=True, reached=True, effect=self._accept(delivery, said.get("identifier")))
        if said.get("msgType") == "Error" and about:
            words = said.get("note", "no reason given")[:200]
            return Outcome(done=False, error=f"it answered with a CAP Error: {words}", reached=True, hopeless=True)
        return Outcome(done=True, reached=True)


def references(sender: str, told: list[dict[str, Any]]) -> list[str]:
    """Those of payloads that were told before, oldest first."""
    return [message.reference(sender, each["id"], each["time"]) for each in told]


def answered(body: bytes | None) -> dict[str, str]:
    """The head of a CAP message that came as an answer, or {}: what we do not understand accepts nothing."""
    try:
        alert = safe_xml.fromstring(body or b"")
    except (ParseError, DefusedXmlException, ValueError, LookupError):
        return {}
    if alert.tag != f"{{{message.NAMESPACE}}}alert":
        return {}
    return {each.tag.rpartition("}")[2]: (each.text or "").strip() for each in alert if len(each) == 0}


_TESTS = "tests/unit/gateway/test_cap_backend.py::"
QUALITY = Quality(
    speaks="OASIS CAP 1.2 by HTTP POST, and as an Atom feed (RFC 4287)",
    done="an answer of 2xx; without url: that the feed has it",
    accepted="a CAP message with msgType Ack as the answer, with a reference to ours; by a feed nobody accepts",
    guarantees=(
        "valid by the OASIS schema and by the rules that it leaves to code",
        "Bahasa Indonesia and English in each message",
        "an Update or Cancel names every message that was told of the incident before",
        "an end is told only to whom the beginning was",
    ),
    tested={
        "slow": _TESTS + "test_a_slow_agency_is_cut_off",
        "refuses": _TESTS + "test_what_an_answer_means",
        "half an answer": _TESTS + "test_half_an_answer_and_none",
        "wrong answer": _TESTS + "test_what_an_answer_means",
        "huge answer": _TESTS + "test_what_an_answer_means",
        "accepts twice": "an answer belongs to one POST: there is no second",
        "hangs up": _TESTS + "test_half_an_answer_and_none",
        "gone": _TESTS + "test_half_an_answer_and_none",
        "wrong TLS": "tests/unit/gateway/test_webhook.py::test_an_unknown_authority_is_not_trusted_and_our_own_is",
        "wrong key": _TESTS + "test_the_feed_opens_by_its_password_alone",
        "wrong clock": "no time of the far side is used",
        "floods": _TESTS + "test_what_an_answer_means",
        "unknown incident": _TESTS + "test_what_an_answer_means",
        "another's incident": _TESTS + "test_what_an_answer_means",
        "out of order": "an answer belongs to one POST: there is no other order",
        "goes backwards": "it says no stages, only that it accepts",
    },
)
