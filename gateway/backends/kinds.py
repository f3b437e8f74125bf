"""Every kind of backend there is: the one place that knows them all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gateway.backend_settings import Backend
from gateway.backends import mqtt, webhook
from gateway.backends.accepting import Accept
from gateway.backends.cap import backend as cap
from gateway.backends.dc09 import backend as dc09
from gateway.backends.quality import Quality
from gateway.outbox.port import Destination
from gateway.outbox.retry import RetryPolicy
from gateway.store.engine import Store


@dataclass(frozen=True)
class Means:
    """What a backend is made with, beside its settings. source: the gateway's name."""

    accept: Accept
    store: Store
    source: str


@dataclass(frozen=True)
class Kind:
    """One kind: how it is made of its settings, when it is tried again, its checklist."""

    make: Callable[[Any, Means], Destination]
    policy: RetryPolicy
    quality: Quality


KINDS = {
    "webhook": Kind(lambda each, by: webhook.WebhookBackend(each, by.accept), webhook.POLICY, webhook.QUALITY),
    "dc09": Kind(lambda each, by: dc09.Dc09Backend(each, by.accept, store=by.store), dc09.POLICY, dc09.QUALITY),
    "cap": Kind(lambda each, by: cap.CapBackend(each, by.accept, by.store), cap.POLICY, cap.QUALITY),
    "mqtt": Kind(lambda each, by: mqtt.MqttBackend(each, by.accept, by.source), mqtt.POLICY, mqtt.QUALITY),
}


def make(settings: Backend, means: Means) -> Destination:
    """The destination of a [[backends]] section."""
    return KINDS[settings.kind].make(settings, means)
