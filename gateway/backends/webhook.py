"""Tells a police system by a signed webhook.

Headers are those of Standard Webhooks (https://www.standardwebhooks.com): `webhook-id` is the delivery's id,
the same at every attempt; timestamp and signature are made anew each time, one signature for each secret that is set.
The body is one CloudEvent 1.0 in structured JSON mode (https://cloudevents.io, JSON format 1.0.2, section 3.2), or an
EIDO document, the same bytes each time. docs/integrator.md is the page for whoever writes the far side.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from standardwebhooks import Webhook

from gateway.backend_settings import WebhookSettings
from gateway.backends import eido
from gateway.backends.accepting import Accept
from gateway.backends.exchange import LATE, json_object, json_text
from gateway.backends.posting import Poster
from gateway.backends.quality import Quality
from gateway.clock import Clock, now_us
from gateway.outbox.port import Delivery, Destination, Outcome
from gateway.outbox.retry import RetryPolicy

log = logging.getLogger("sigap.backends")

CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"
POLICY = RetryPolicy()


class WebhookBackend(Destination):
    """The destination "backend:<name>". `accept` is what follows when the far side says that it has accepted."""

    concurrency = 8

    def __init__(
        self, settings: WebhookSettings, accept: Accept, clock: Clock = now_us, policy: RetryPolicy = POLICY
    ) -> None:
        self.prefix, self.policy = settings.destination, policy
        self.limit_s = settings.timeout_s + 5  # the poster's own limit comes first, and says more
        self._poster = Poster(settings, self.concurrency)
        self._is_eido = settings.body == "eido"
        self._signers = [Webhook(each) for each in (settings.secret, settings.next_secret) if each]
        self._accept, self._clock = accept, clock

    async def deliver(self, delivery: Delivery) -> Outcome:
        """One POST. 2xx: it has it, and has accepted it if the answer's JSON says {"accepted": true}."""
        content = eido.document(delivery.payload) if self._is_eido else delivery.payload
        body = json_text(content)
        answer = await self._poster.post(body.encode(), self._headers(delivery, body))
        if isinstance(answer, Outcome):
            return answer
        if not answer.ok:
            return answer.failure(self._clock() / 1e6)
        said = json_object(answer.body)
        if said.get("accepted") is True:
            return Outcome(done=True, reached=True, effect=self._accept(delivery, said.get("reference")))
        log.info("%s has %s (%d) but has not accepted it yet", self.prefix, delivery.incident_id, answer.status)
        return Outcome(done=True, reached=True)

    async def close(self) -> None:
        await self._poster.close()

    def _headers(self, delivery: Delivery, body: str) -> dict[str, str]:
        delivery_id, late_s = delivery.id, delivery.late_s(self._clock())
        timestamp = datetime.fromtimestamp(self._clock() // 1_000_000, tz=UTC)
        return {
            "content-type": eido.CONTENT_TYPE if self._is_eido else CONTENT_TYPE,
            "accept": "application/json",
            "accept-encoding": "identity",
            "user-agent": "sigap",
            **({} if late_s is None else {LATE: str(late_s)}),
            "webhook-id": delivery_id,
            "webhook-timestamp": str(int(timestamp.timestamp())),
            "webhook-signature": " ".join(signer.sign(delivery_id, timestamp, body) for signer in self._signers),
        }


_TESTS = "tests/unit/gateway/test_webhook.py::"
_CALLBACKS = "tests/unit/gateway/test_callbacks.py::"
QUALITY = Quality(
    speaks="Standard Webhooks signatures, CloudEvents 1.0 structured JSON (or NENA EIDO), status callbacks",
    done="an answer of 2xx",
    accepted='an answer of 2xx whose JSON says {"accepted": true}, or a callback with status accepted',
    guarantees=(
        "webhook-id and body are the same at every attempt; timestamp and signature are new",
        "two secrets may be valid at once, in both directions",
        "redirects are not followed; private addresses are refused where the settings say so",
        "a callback is in the store before it is answered, and counts once",
    ),
    tested={
        "slow": _TESTS + "test_an_answer_that_does_not_come_is_cut_off",
        "refuses": _TESTS + "test_every_refusal_is_tried_again_and_says_why",
        "half an answer": _TESTS + "test_a_connection_that_breaks_is_no_answer",
        "wrong answer": _TESTS + "test_only_a_clear_yes_is_accepted",
        "huge answer": _TESTS + "test_a_refusal_longer_than_the_limit_is_not_read_to_its_end",
        "accepts twice": _CALLBACKS + "test_the_same_callback_again_has_no_second_effect",
        "hangs up": _TESTS + "test_a_connection_that_breaks_is_no_answer",
        "gone": _TESTS + "test_nobody_listening_is_said_in_words",
        "wrong TLS": _TESTS + "test_an_unknown_authority_is_not_trusted_and_our_own_is",
        "wrong key": _CALLBACKS + "test_what_was_not_signed_by_this_backend_now_is_refused",
        "wrong clock": _CALLBACKS + "test_what_was_not_signed_by_this_backend_now_is_refused",
        "floods": _CALLBACKS + "test_a_flood_is_held_off",
        "unknown incident": _CALLBACKS + "test_an_unknown_incident_or_backend_is_404_and_may_be_sent_again",
        "another's incident": _CALLBACKS + "test_an_incident_that_it_was_not_told_of",
        "out of order": _CALLBACKS + "test_a_stage_that_lies_behind_changes_nothing",
        "goes backwards": _CALLBACKS + "test_a_stage_that_lies_behind_changes_nothing",
    },
)
