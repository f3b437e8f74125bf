"""Ways for frames to travel. A bearer has a name, `up`, run() and send(); it calls on_up and on_frame."""

import sys

import mqtt
from mqtt.client import Client
from panic_wire.header import ALARM, CANCEL, TEST

SEND_TIMEOUT_MS = 5000
RECONNECT_MAX_MS = 5000


class WifiBearer:
    """MQTT over WiFi. on_frame(bytes): a frame came down; on_up(): the connection is usable (again).

    on_block(): everything may stop for seconds from here on. on_down(portal): None, or called when there is no
    connection (again); portal: a web server answers in place of the broker. on_early: None, or called when its
    certificate is not valid yet by our clock. client.cause says why there is no connection, in one word.
    """

    name = "wifi"

    def __init__(self, settings, on_frame, on_up, log=print, on_block=None):
        import panic_wire.topics

        topics = panic_wire.topics
        name = topics.device_name(settings.device)
        self._up_topic = topics.up(name)
        self._state_topic = topics.state(name)
        self._down_topic = topics.down(name)
        self._online = topics.ONLINE
        self._on_frame = on_frame
        self.client = Client(
            settings.broker_host,
            settings.broker_port,
            name,
            username=name,
            password=settings.broker_password,
            keepalive_s=30,
            will=(self._state_topic, topics.OFFLINE, True),
            on_message=self._take,
            subscriptions=(self._down_topic,),
            timeout_ms=SEND_TIMEOUT_MS,
            log=log,
            wait_max_ms=RECONNECT_MAX_MS,
            ssl=settings.broker_ssl,
            server_hostname=settings.broker_hostname,
            backup=settings.broker_backup,
        )
        # It has said its names; a button needs them once.
        del panic_wire.topics, sys.modules["panic_wire.topics"]
        self.on_early = self.on_down = None
        self._on_up = on_up
        self.client.on_up = self._up  # pyright: ignore[reportAttributeAccessIssue]
        self.client.on_down = self._down  # pyright: ignore[reportAttributeAccessIssue]
        self.client.on_block = on_block

    @property
    def up(self):
        """Connected and subscribed."""
        return self.client.up.is_set()

    async def run(self):
        """Connect, and connect again, for ever."""
        await self.client.run()

    async def close(self):
        """Say goodbye, so that the last will is not sent, and end run(), which may be run again."""
        await self.client.close()

    def hurry(self):
        """Somebody pressed: if there is no connection, try now and not at the end of the pause."""
        self.client.hurry()

    async def say_online(self):
        """Replace the last will on the retained state topic."""
        await self.client.publish(self._state_topic, self._online, qos=1, retain=True)

    async def send(self, frame):
        """Returns when the broker has it, which is no receipt. OSError or MQTTError when it has not."""
        urgent = frame[0] & 15 in (ALARM, CANCEL, TEST)
        await self.client.publish(self._up_topic, frame, qos=1, timeout_ms=SEND_TIMEOUT_MS, urgent=urgent)

    def _up(self):
        # What makes connections is not needed while there is one; its RAM is worth more to the alarms.
        for name in ("opening", "dial", "backup"):
            if sys.modules.pop("mqtt." + name, None):
                delattr(mqtt, name)
        self._on_up()

    def _down(self):
        if self.on_down:
            self.on_down(self.client.cause == "http")
        if self.client.cause == "early" and self.on_early:
            self.on_early()

    def _take(self, topic, payload):
        if topic == self._down_topic:
            self._on_frame(payload)
