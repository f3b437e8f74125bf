"""What Prometheus is told: few metrics, none with a label per device, owner or operator, so their number is bounded.

Totals come from the store's lasting counts, so they go on after a restart. https://prometheus.io/docs/practices/naming/
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import version
from typing import Protocol

import sqlalchemy as sa
from prometheus_client import CollectorRegistry, Histogram, Metric, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

from gateway.clock import Clock, now_us
from gateway.incidents.stages import CLOSED
from gateway.ingest.intake import Intake, Uplink
from gateway.ingest.link import Link
from gateway.outbox import rows
from gateway.store.engine import Store
from gateway.store.schema import bases, counts, devices, incidents, troubles
from gateway.supervision.bases import ONLINE

RECEIPT_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
# Lasting counts that are metrics, with their labels: (name here, label, its value).
TOTALS = {
    "ingest.alarms": ("sigap_alarms", None, None),
    "ingest.heartbeats": ("sigap_heartbeats", None, None),
    "ingest.dropped.qos0": ("sigap_messages_dropped", "qos", "0"),
    "ingest.dropped.qos1": ("sigap_messages_dropped", "qos", "1"),
}
QUARANTINE = "quarantine."
ABOUT = {
    "sigap_alarms": "Alarms committed",
    "sigap_heartbeats": "Heartbeats committed",
    "sigap_messages_dropped": "Messages that found no room in the intake; those of QoS 1 come again",
    "sigap_messages_refused": "Messages that went to quarantine, by reason",
}


class Line(Protocol):
    """What the writer says to the broker (gateway.ingest.writer)."""

    def publish(self, topic: str, payload: bytes) -> bool: ...
    def acknowledge(self, message: Uplink) -> bool: ...
    def renew(self) -> None: ...


class Measured:
    """A line that notes how long each message took, from the socket to its receipt."""

    def __init__(self, line: Line, seconds: Histogram, clock: Clock = now_us) -> None:
        self._line, self._seconds, self._clock = line, seconds, clock

    def publish(self, topic: str, payload: bytes) -> bool:
        return self._line.publish(topic, payload)

    def acknowledge(self, message: Uplink) -> bool:
        """Receipts go out before the PUBACK: now it is receipted."""
        self._seconds.observe(max(0, self._clock() - message.received_at) / 1e6)
        return self._line.acknowledge(message)

    def renew(self) -> None:
        self._line.renew()


class Metrics(Collector):
    """text() is what GET /metrics answers; call it in a thread, since it reads the store."""

    def __init__(self, store: Store, intake: Intake, link: Link, clock: Clock = now_us) -> None:
        self._store, self._intake, self._link, self._clock = store, intake, link, clock
        self._registry = CollectorRegistry()
        self.receipt_seconds = Histogram(
            "sigap_receipt_seconds",
            "From a message's arrival at the gateway to its receipt, committed",
            buckets=RECEIPT_BUCKETS_S,
            registry=self._registry,
        )
        ProcessCollector(registry=self._registry)
        self._registry.register(self)

    def text(self) -> bytes:
        return generate_latest(self._registry)

    def describe(self) -> Iterable[Metric]:
        return ()  # or registering would read the store

    def collect(self) -> Iterable[Metric]:
        build = InfoMetricFamily("sigap_build", "This program")
        build.add_metric((), {"version": version("sigap")})
        yield build
        yield GaugeMetricFamily("sigap_broker_connected", "1 when connected and subscribed", int(self._link.connected))
        yield GaugeMetricFamily("sigap_intake_waiting", "Messages not yet committed", len(self._intake))
        with self._store.read() as conn:
            yield from _totals(conn)
            yield from self._outbox(conn)
            yield from _states(conn)

    def _outbox(self, conn: sa.Connection) -> Iterable[Metric]:
        pending = GaugeMetricFamily("sigap_outbox_pending", "Deliveries that wait", labels=("destination",))
        oldest = GaugeMetricFamily("sigap_outbox_oldest_seconds", "Age of the oldest", labels=("destination",))
        now, found = self._clock(), {}
        for each in rows.backlog(conn):
            # Devices and relatives are many; backends are those of the settings.
            kind, _, name = each.destination.partition(":")
            kind = each.destination if kind == "backend" and name else kind
            number, since = found.get(kind, (0, now))
            found[kind] = (number + each.pending, min(since, each.oldest_at))
        for kind, (number, since) in sorted(found.items()):
            pending.add_metric((kind,), number)
            oldest.add_metric((kind,), max(0, now - since) / 1e6)
        return pending, oldest


def _totals(conn: sa.Connection) -> Iterable[Metric]:
    found: dict[str, CounterMetricFamily] = {}
    for name, value in conn.execute(sa.select(counts.c.name, counts.c.value).order_by(counts.c.name)):
        if name.startswith(QUARANTINE):
            metric, label, of = "sigap_messages_refused", "reason", name.removeprefix(QUARANTINE)
        elif name in TOTALS:
            metric, label, of = TOTALS[name]
        else:
            continue
        labels = () if label is None else (label,)
        family = found.setdefault(metric, CounterMetricFamily(metric, ABOUT[metric], labels=labels))
        family.add_metric(() if of is None else (of,), value)
    return found.values()


def _states(conn: sa.Connection) -> Iterable[Metric]:
    in_use = sa.select(sa.func.count()).select_from(devices).where(devices.c.revoked_at.is_(None))
    questions = {
        ("sigap_devices", "Devices in use"): in_use,
        ("sigap_devices_online", "Devices at the broker"): in_use.where(devices.c.online.is_(True)),
        ("sigap_incidents_open", "Incidents not closed, tests apart"): sa.select(sa.func.count())
        .select_from(incidents)
        .where(incidents.c.state != CLOSED, incidents.c.test.is_(False)),
        ("sigap_bases_online", "Base stations that say something"): sa.select(sa.func.count())
        .select_from(bases)
        .where(bases.c.state == ONLINE),
        ("sigap_troubles_lasting", "Troubles of devices that last"): sa.select(sa.func.count())
        .select_from(troubles)
        .where(troubles.c.ended_at.is_(None)),
    }
    for (name, about), question in questions.items():
        yield GaugeMetricFamily(name, about, conn.execute(question).scalar_one())
