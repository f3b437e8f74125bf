"""The bounded queue between the broker's network thread and the writer.

At the limit a message is not taken, and counted. One with QoS 0 is lost, as its sender was told it might be.
One with QoS 1 stays unacknowledged at the broker; when there is room again, the link renews its connection,
and the broker sends it again. So no flood grows memory, and a flood of QoS 0 takes no place from an alarm
(alarms are QoS 1).

Whoever sends much waits behind itself: devices take turns, one message each, and what one device sent stays in order.
Every second turn is for a device that had none since the intake was last empty, however many others flood.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import dataclass

MOST_QOS0 = 2_000
MOST_QOS1 = 20_000
MOST_HAD = 100_000  # topics remembered as having had a turn; beyond it all are as new
PAYLOAD_KEPT_BYTES = 256  # a frame has 118 at most; of anything longer, the quarantine shows this much
TOPIC_KEPT = 200


@dataclass(frozen=True, slots=True)
class Uplink:
    """One message as the broker delivered it.

    payload: at most its first 256 bytes (of a phone: 1,024), of size_bytes. received_at: microseconds UTC, when it was
    read from the socket. mid, generation: what its acknowledgement needs. duplicate: MQTT's DUP flag. retained: sent
    because we subscribed.
    """

    topic: str
    payload: bytes
    size_bytes: int
    received_at: int
    qos: int = 0
    mid: int = 0
    generation: int = 0
    duplicate: bool = False
    retained: bool = False


class Intake:
    """Put by one thread, drained by another. `drops` counts what was not taken since it was last asked
    for."""

    def __init__(self, most_qos0: int = MOST_QOS0, most_qos1: int = MOST_QOS1) -> None:
        self.most_qos0, self.most_qos1 = most_qos0, most_qos1
        # By topic, which is a device's own; the next in turn is the first. `_had`: who had a turn, and comes `_again`.
        self._fresh: dict[str, deque[Uplink]] = {}
        self._again: dict[str, deque[Uplink]] = {}
        self._had: set[str] = set()
        self._waiting = {0: 0, 1: 0}
        self._drops: Counter[str] = Counter()
        self._owed = False
        self._closed = False
        self._changed = threading.Condition()

    def put(self, message: Uplink) -> bool:
        """Take the message unless there is no room for its kind, or the intake is closed."""
        kind = 1 if message.qos else 0
        with self._changed:
            if self._closed:
                return False
            if self._waiting[kind] >= (self.most_qos1 if kind else self.most_qos0):
                self._drops[f"ingest.dropped.qos{kind}"] += 1
                self._owed = self._owed or kind == 1
                return False
            self._waiting[kind] += 1
            self._queue_of(message.topic).append(message)
            self._changed.notify()
            return True

    def drain(self, limit: int, timeout_s: float | None = None) -> list[Uplink]:
        """Wait for the first message, then take all that are there, at most `limit`, one of each device in turn.

        Empty when the intake was closed and nothing is left, or when the time is over.
        """
        with self._changed:
            self._changed.wait_for(lambda: bool(self._fresh or self._again) or self._closed, timeout_s)
            taken: list[Uplink] = []
            while (self._fresh or self._again) and len(taken) < limit:
                is_fresh = bool(self._fresh) and (len(taken) % 2 == 0 or not self._again)
                turns = self._fresh if is_fresh else self._again
                topic = next(iter(turns))
                queue = turns.pop(topic)
                taken.append(queue.popleft())
                self._had.add(topic)
                if queue:
                    self._again[topic] = queue  # behind all the others
            if len(self._had) > MOST_HAD or not (self._fresh or self._again):
                self._had.clear()
            for message in taken:
                self._waiting[1 if message.qos else 0] -= 1
            return taken

    def _queue_of(self, topic: str) -> deque[Uplink]:
        for turns in (self._again, self._fresh):
            if topic in turns:
                return turns[topic]
        queue: deque[Uplink] = deque()
        (self._again if topic in self._had else self._fresh)[topic] = queue
        return queue

    def take_drops(self) -> Counter[str]:
        """What was not taken since the last call, by count name."""
        with self._changed:
            drops, self._drops = self._drops, Counter()
            return drops

    def take_debt(self) -> bool:
        """True once when QoS 1 messages were refused and there is room for them again: the link should
        renew."""
        with self._changed:
            if not self._owed or self._waiting[1] > self.most_qos1 // 2:
                return False
            self._owed = False
            return True

    def close(self) -> None:
        """Let drain() return at once, for good."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def closed(self) -> bool:
        return self._closed

    def __len__(self) -> int:
        return sum(self._waiting.values())
