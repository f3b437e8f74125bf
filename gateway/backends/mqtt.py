"""Publishes incidents to another broker, and takes its receipts: CloudEvents over MQTT 5.

By the CloudEvents MQTT protocol binding 1.0.2: structured mode (one JSON document, content type
application/cloudevents+json) or binary mode (`data` as payload, the attributes as user properties). Request and
response by MQTT 5 (4.10): each message has a response topic and the delivery's id as correlation data.

`accepted` is a reply there that says {"accepted": true}. The broker's own PUBACK says only that a broker has it: where
a reply topic is set, that is not enough to stop trying.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from gateway.backend_settings import MqttSettings
from gateway.backends.accepting import Accept
from gateway.backends.exchange import LATE, json_object, json_text
from gateway.backends.quality import Quality
from gateway.clock import Clock, now_us
from gateway.outbox.port import Delivery, Destination, Outcome, Report
from gateway.outbox.retry import RetryPolicy

log = logging.getLogger("sigap.backends")

POLICY = RetryPolicy()
STRUCTURED = "application/cloudevents+json; charset=utf-8"
MOST_REPLY_BYTES = 64 << 10  # the broker is told to drop what is longer (Maximum Packet Size, 3.1.2.11.4)
MOST_IN_FLIGHT = 20
SESSION_S = 3600  # the broker keeps replies for us so long
KEEP_ALIVE_S = 15
LOOK_EVERY_S = 5.0
NOBODY_SUBSCRIBED = 0x10
FAILED = 0x80  # reason codes from here on are failures (4.13)
_ATTRIBUTES = ("specversion", "id", "source", "type", "subject", "time")


class MqttBackend(Destination):
    """The destination "backend:<name>". source: the gateway's name, part of the client id."""

    concurrency, supervised = 8, True

    def __init__(
        self,
        settings: MqttSettings,
        accept: Accept,
        source: str,
        clock: Clock = now_us,
        policy: RetryPolicy = POLICY,
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        self.prefix, self.policy = settings.destination, policy
        self.limit_s = settings.timeout_s * 3 + 5  # connect, the broker's answer, the reply
        self._settings, self._accept, self._clock, self._look_every_s = settings, accept, clock, look_every_s
        self._client_id = f"sigap-{source}-{settings.name}"
        self._client: paho.Client | None = None
        self._connecting = asyncio.Lock()
        self._up = asyncio.Event()
        self._said = ""  # what the broker said last of us
        self._published: dict[int, asyncio.Future[ReasonCode]] = {}
        self._replies: dict[bytes, asyncio.Future[bytes]] = {}

    async def deliver(self, delivery: Delivery) -> Outcome:
        """Publish at QoS 1, and wait for the broker, then for the reply."""
        if error := await self._connected():
            return Outcome(done=False, error=error)
        settings, correlation = self._settings, delivery.id.encode()
        reply: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._replies[correlation] = reply
        waits_for = "answer of its broker"
        try:
            async with asyncio.timeout(settings.timeout_s):
                code = await self._publish(delivery, correlation)
            if code.value >= FAILED:
                return Outcome(done=False, error=f"its broker refuses the message: {code}", reached=True)
            if code.value == NOBODY_SUBSCRIBED:
                return Outcome(done=False, error=f"nobody is subscribed to {settings.topic}", reached=True)
            if not settings.reply_topic:
                return Outcome(done=True, reached=True)
            waits_for = f"reply on {settings.reply_topic}"
            async with asyncio.timeout(settings.timeout_s):
                return self._judge(delivery, await reply)
        except TimeoutError:
            return Outcome(done=False, error=f"no {waits_for} within {settings.timeout_s:g} s")
        except _Lost as error:
            return Outcome(done=False, error=str(error))
        finally:
            del self._replies[correlation]

    async def attend(self, report: Report) -> None:
        """Stay connected, so that a broker that is gone is known before there is an alarm for it."""
        while True:
            await report(await self._connected())
            await asyncio.sleep(self._look_every_s)

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await asyncio.to_thread(self._end, client)

    async def _connected(self) -> str | None:
        """Connect where we are not; None when we are, else why not."""
        async with self._connecting:
            if self._client is not None and self._up.is_set():
                return None
            await self.close()
            self._up.clear()
            self._said = ""
            client = self._new_client()
            settings = self._settings
            try:
                if settings.tls:
                    client.tls_set_context(ssl.create_default_context(cafile=settings.ca_file or None))
                await asyncio.to_thread(
                    client.connect, settings.host, settings.port, KEEP_ALIVE_S, properties=_connect_properties()
                )
            except ssl.SSLCertVerificationError as error:
                return f"its certificate was not trusted: {error.verify_message}"
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
                return f"no connection to {settings.host} port {settings.port}: {reason}"
            self._client = client
            client.loop_start()
            try:
                async with asyncio.timeout(settings.timeout_s):
                    await self._up.wait()
            except TimeoutError:
                said = self._said or f"it said nothing within {settings.timeout_s:g} s"
                await self.close()
                return f"{settings.host} port {settings.port} takes no session of ours: {said}"
            if self._said:  # it answered, and lets us do nothing: the next attempt begins anew
                self._up.clear()
                await self.close()
                return f"{settings.host} port {settings.port} takes no session of ours: {self._said}"
            return None

    def _new_client(self) -> paho.Client:
        loop, settings = asyncio.get_running_loop(), self._settings
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            self._client_id,
            protocol=paho.MQTTv5,
            reconnect_on_failure=False,  # the outbox says when it is tried again
        )
        client.connect_timeout = settings.timeout_s
        client.max_queued_messages_set(MOST_IN_FLIGHT)
        if settings.username:
            client.username_pw_set(settings.username, settings.password or None)

        def here(function: Any, *arguments: Any) -> None:
            try:
                loop.call_soon_threadsafe(function, *arguments)
            except RuntimeError:
                log.debug("%s: the loop has ended", self.prefix)

        def on_connect(_c: paho.Client, _u: Any, _f: Any, code: ReasonCode, _p: Any) -> None:
            if code.is_failure:
                here(self._refused, str(code))
            elif settings.reply_topic:
                client.subscribe(settings.reply_topic, qos=1)
            else:
                here(self._up.set)

        def on_subscribe(_c: paho.Client, _u: Any, _m: int, codes: list[ReasonCode], _p: Any) -> None:
            if codes and codes[0].is_failure:
                here(self._refused, f"it does not let us subscribe to {settings.reply_topic}: {codes[0]}")
            else:
                here(self._up.set)

        def on_message(_c: paho.Client, _u: Any, message: paho.MQTTMessage) -> None:
            correlation = getattr(message.properties, "CorrelationData", None)
            if correlation in self._replies:  # what nobody waits for goes no further than this thread
                here(self._replied, correlation, message.payload)

        client.on_connect, client.on_subscribe, client.on_message = on_connect, on_subscribe, on_message
        client.on_publish = lambda _c, _u, number, code, _p: here(self._acknowledged, number, code)
        client.on_disconnect = lambda _c, _u, _f, code, _p: here(self._lost, client, str(code))
        return client

    async def _publish(self, delivery: Delivery, correlation: bytes) -> ReasonCode:
        assert self._client is not None
        payload, properties = self._message(delivery, correlation)
        done: asyncio.Future[ReasonCode] = asyncio.get_running_loop().create_future()
        try:
            info = self._client.publish(self._settings.topic, payload, qos=1, properties=properties)
        except ValueError as error:  # paho's own limits
            raise _Lost(f"it could not be published: {error}") from error
        if info.rc != paho.MQTT_ERR_SUCCESS:
            raise _Lost(f"it could not be published: {paho.error_string(info.rc)}")
        self._published[info.mid] = done
        try:
            return await done
        finally:
            self._published.pop(info.mid, None)

    def _message(self, delivery: Delivery, correlation: bytes) -> tuple[bytes, Properties]:
        event, properties = delivery.payload, Properties(PacketTypes.PUBLISH)
        properties.PayloadFormatIndicator = 1
        if self._settings.reply_topic:
            properties.ResponseTopic = self._settings.reply_topic
        properties.CorrelationData = correlation
        words: list[tuple[str, str]] = []
        if (late_s := delivery.late_s(self._clock())) is not None:
            words.append((LATE, str(late_s)))
        if self._settings.mode == "structured":
            properties.ContentType, content = STRUCTURED, event
        else:
            words += [(name, str(event[name])) for name in _ATTRIBUTES if name in event]
            properties.ContentType, content = event["datacontenttype"], event["data"]
        if words:
            properties.UserProperty = words
        return json_text(content).encode(), properties

    def _judge(self, delivery: Delivery, body: bytes) -> Outcome:
        said = json_object(body)
        if said.get("accepted") is True:
            return Outcome(done=True, reached=True, effect=self._accept(delivery, said.get("reference")))
        if "accepted" in said and "error" not in said:
            return Outcome(done=True, reached=True)  # it has it, and has not accepted it yet
        words = str(said.get("error", "its reply is not understood"))[:200]
        return Outcome(done=False, error=f"it replied: {words}", reached=True, hopeless="error" in said)

    # Called on the loop

    def _refused(self, said: str) -> None:
        self._said = said
        self._up.set()
        self._drop(said)

    def _lost(self, client: paho.Client, said: str) -> None:
        if client is not self._client:
            return
        said = f"the connection was lost: {said}"
        if not self._up.is_set():  # before there was a session: whoever waits for one need not wait longer
            self._refused(said)
            return
        self._up.clear()
        self._drop(said)

    def _drop(self, said: str) -> None:
        for future in [*self._published.values(), *self._replies.values()]:
            if not future.done():
                future.set_exception(_Lost(said))
                future.exception()  # looked at: not everybody still waits for it

    def _acknowledged(self, number: int, code: ReasonCode) -> None:
        if (future := self._published.get(number)) is not None and not future.done():
            future.set_result(code)

    def _replied(self, correlation: bytes, body: bytes) -> None:
        if (future := self._replies.get(correlation)) is not None and not future.done():
            future.set_result(body)

    @staticmethod
    def _end(client: paho.Client) -> None:
        client.disconnect()
        client.loop_stop()


class _Lost(Exception):
    """The connection went while somebody waited."""


def _connect_properties() -> Properties:
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = SESSION_S
    properties.MaximumPacketSize = MOST_REPLY_BYTES
    properties.ReceiveMaximum = MOST_IN_FLIGHT
    return properties


_TESTS = "tests/unit/gateway/test_mqtt_backend.py::"
QUALITY = Quality(
    speaks="MQTT 5 (OASIS), CloudEvents 1.0 MQTT binding 1.0.2, structured or binary mode",
    done="with reply_topic: a reply with the delivery's correlation data; without: the broker's PUBACK",
    accepted='a reply on reply_topic that says {"accepted": true}; without reply_topic nobody ever accepts',
    guarantees=(
        "the event's id and bytes are the same at every attempt",
        "a session of its own: replies wait an hour at the broker while we are away",
        "nobody subscribed to the topic is a failure, where the broker says so",
        "a broker that is gone is a trouble on the desk within seconds, without an alarm",
    ),
    tested={
        "slow": _TESTS + "test_a_slow_reply_is_a_failure_and_comes_to_the_next_attempt",
        "refuses": _TESTS + "test_what_a_reply_means",
        "half an answer": "MQTT frames its packets: half of one is a lost connection, see hangs up",
        "wrong answer": _TESTS + "test_what_a_reply_means",
        "huge answer": _TESTS + "test_floods_and_strangers_are_dropped",
        "accepts twice": _TESTS + "test_floods_and_strangers_are_dropped",
        "hangs up": _TESTS + "test_a_broker_killed_between_message_and_reply",
        "gone": _TESTS + "test_a_broker_that_is_gone_is_known_without_an_alarm",
        "wrong TLS": _TESTS + "test_a_certificate_that_is_not_trusted",
        "wrong key": _TESTS + "test_a_wrong_password_is_said",
        "wrong clock": "no time of the far side is used",
        "floods": _TESTS + "test_floods_and_strangers_are_dropped",
        "unknown incident": "a reply is found by our own correlation data, and names no incident",
        "another's incident": "a reply is found by our own correlation data, and names no incident",
        "out of order": _TESTS + "test_floods_and_strangers_are_dropped",
        "goes backwards": "it says no stages, only that it accepts",
    },
)
