"""The gateway's connection to the MQTT broker: paho-mqtt, its network thread, and what paho leaves to us.

- An acknowledgement belongs to a connection: after a reconnect the same message id names another message, so
  each message carries the connection's generation, and a stale one is not acknowledged (the broker has sent
  it again).
- What we publish is bounded: above MOST_UNACKNOWLEDGED it is refused, and the caller says what that means.
- The session is kept (clean_session false): what comes while we are away waits at the broker.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from gateway.clock import Clock, now_us
from gateway.ingest import phone
from gateway.ingest.intake import PAYLOAD_KEPT_BYTES, TOPIC_KEPT, Intake, Uplink
from panic_wire import topics

log = logging.getLogger("sigap.ingest")

KEEPALIVE_S = 10
CONNECT_LIMIT_S = 5.0
RECONNECT_FIRST_S = 0.1
RECONNECT_MOST_S = 3.2
MOST_UNACKNOWLEDGED = 5_000
SUBSCRIPTIONS = [(topics.ALL_UP, 1), (topics.ALL_STATE, 1), (phone.up("+"), 1)]

Done = Callable[[], None]


class Link:
    """One connection at a time, for ever; a broker that is absent at the start is waited for.

    on_up: called by the network thread each time the subscriptions hold. Methods may be called from any
    thread.
    """

    def __init__(
        self,
        intake: Intake,
        *,
        host: str,
        port: int,
        username: str,
        password: str,
        on_up: Callable[[], None] | None = None,
        clock: Clock = now_us,
    ) -> None:
        self._intake, self._clock, self._on_up = intake, clock, on_up
        self._host, self._port = host, port
        self._lock = threading.Lock()  # over generation and the acknowledgement that checks it
        self._generation = 0
        self._connected = False
        self._subscribed = False
        self._refusal: str | None = None
        self._stopping = False
        self._publishing = threading.Lock()  # never held while paho is called: paho calls back under its own locks
        self._unacknowledged: dict[int, Done | None] = {}
        self._early: set[int] = set()  # PUBACKs that came before publish() had returned
        self._under_way = 0
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=username,
            clean_session=False,
            protocol=mqtt.MQTTv311,
            manual_ack=True,
        )
        client.username_pw_set(username, password or None)
        client.connect_timeout = CONNECT_LIMIT_S
        client.reconnect_delay_set(RECONNECT_FIRST_S, RECONNECT_MOST_S)  # pyright: ignore[reportArgumentType]
        client.max_inflight_messages_set(0)  # the limit is ours; paho's makes each PUBACK walk its whole queue
        client.on_socket_open = self._on_socket_open
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        self._client = client

    def start(self) -> None:
        """Begin to connect; returns at once."""
        self._client.connect_async(self._host, self._port, KEEPALIVE_S)
        self._client.loop_start()

    def watch(self) -> None:
        """Call it now and then: a network thread that ended by a fault is started anew, and said."""
        if not self._stopping and self._client.loop_start() == MQTTErrorCode.MQTT_ERR_SUCCESS:
            log.error("the broker's network thread had ended; it runs again")

    def stop(self, limit_s: float = 1.0) -> None:
        """Disconnect, keeping the session. A broker that does not answer holds us up for limit_s at most."""
        self._stopping = True
        self._client.disconnect()
        # loop_stop() waits without a limit for a thread that may sit in a connect.
        stopper = threading.Thread(target=self._client.loop_stop, name="link-stop", daemon=True)
        stopper.start()
        stopper.join(limit_s)

    @property
    def connected(self) -> bool:
        """Connected and subscribed."""
        return self._subscribed

    def health(self) -> dict[str, Any]:
        """{"ok", "refused": why the broker does not let us in, "unacknowledged": published, not yet
        confirmed}"""
        return {"ok": self._subscribed, "refused": self._refusal, "unacknowledged": self._under_way}

    def acknowledge(self, message: Uplink) -> bool:
        """Send the PUBACK, unless its connection is gone; then False, and the broker sends the message
        again."""
        with self._lock:
            if message.generation != self._generation or not self._connected:
                return False
            return self._client.ack(message.mid, message.qos) == MQTTErrorCode.MQTT_ERR_SUCCESS

    def publish(self, topic: str, payload: bytes, done: Done | None = None) -> bool:
        """Publish with QoS 1. False, and nothing sent, without a connection or with too much unacknowledged.

        done: called by the network thread when the broker has it; if the connection breaks before that, it is
        sent again on the next one.
        """
        with self._publishing:
            if not self._connected or self._under_way >= MOST_UNACKNOWLEDGED:
                return False
            self._under_way += 1
        info = self._client.publish(topic, payload, qos=1)
        # NO_CONN: the connection broke just now; paho keeps the message for the next one.
        if info.rc not in (MQTTErrorCode.MQTT_ERR_SUCCESS, MQTTErrorCode.MQTT_ERR_NO_CONN):
            with self._publishing:
                self._under_way -= 1
            return False
        with self._publishing:
            if info.mid not in self._early:
                self._unacknowledged[info.mid] = done
                return True
            self._early.discard(info.mid)
            self._under_way -= 1
        if done is not None:
            done()
        return True

    def renew(self) -> None:
        """Break the connection and make a new one, so that the broker sends again what was not
        acknowledged."""
        log.warning("messages were refused at the limit; the connection is renewed so that they come again")
        current = self._client.socket()
        if isinstance(current, socket.socket):
            try:
                current.shutdown(socket.SHUT_RDWR)
            except OSError as error:
                log.info("the connection was gone already: %s", error)

    # What follows is called by paho's network thread, which ends for good on any exception.

    def _on_socket_open(self, _client: mqtt.Client, _data: object, sock: Any) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _on_connect(
        self, client: mqtt.Client, _data: object, flags: mqtt.ConnectFlags, reason: Any, _properties: object
    ) -> None:
        if reason.is_failure:
            if self._refusal != str(reason):
                log.error("the broker refuses us: %s; check [broker] username and password", reason)
            self._refusal = str(reason)
            return
        with self._lock:
            self._generation += 1
            self._connected = True
        self._refusal = None
        kept = "with" if flags.session_present else "without"
        log.info("connected to the broker at %s:%d, %s a kept session", self._host, self._port, kept)
        client.subscribe(SUBSCRIPTIONS)

    def _on_subscribe(
        self, _client: mqtt.Client, _data: object, _mid: int, reasons: list[Any], _properties: object
    ) -> None:
        if any(reason.is_failure for reason in reasons):
            self._refusal = "it refuses our subscriptions"
            log.error("the broker refuses our subscriptions; check its access list")
            return
        self._subscribed = True
        if self._on_up is not None:
            self._on_up()

    def _on_disconnect(
        self, _client: mqtt.Client, _data: object, _flags: object, reason: Any, _properties: object
    ) -> None:
        with self._lock:
            was, self._connected, self._subscribed = self._connected, False, False
        if was and not self._stopping:
            log.warning("the connection to the broker broke: %s", reason)

    def _on_message(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = "(not UTF-8)"
        payload = message.payload
        kept = phone.MOST_BYTES if topic.startswith(topics.PHONE_PREFIX) else PAYLOAD_KEPT_BYTES
        self._intake.put(
            Uplink(
                topic[:TOPIC_KEPT],
                bytes(payload[:kept]),
                len(payload),
                self._clock(),
                message.qos,
                message.mid,
                self._generation,
                bool(message.dup),
                bool(message.retain),
            )
        )

    def _on_publish(self, _client: mqtt.Client, _data: object, mid: int, _reason: object, _properties: object) -> None:
        with self._publishing:
            if mid not in self._unacknowledged:
                self._early.add(mid)
                return
            done = self._unacknowledged.pop(mid)
            self._under_way -= 1
        if done is not None:
            done()
