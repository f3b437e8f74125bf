"""A test alarm that nobody pressed, to ask a backend what it does with one: `sigap backends check`."""

from __future__ import annotations

from gateway.incidents.cloudevents import OPENED_TYPE, UPDATED_TYPE, envelope, rfc3339
from gateway.outbox.port import Delivery
from gateway.outbox.rows import new_id

DEVICE = "00000000"


def sample_alarm(destination: str, source: str, now_us: int, incident: str, change: str) -> Delivery:
    """What a gateway called `source` would send for a test alarm; change: opened or closed."""
    at, closed = rfc3339(now_us), change == "closed"
    data = {
        "incident": incident,
        "change": change,
        "test": True,
        "state": "closed" if closed else "open",
        "accepted": closed,
        "disposition": "test" if closed else None,
        "opened_at": at,
        "merged_into": None,
        "other_incident": None,
        "device": DEVICE,
        "device_name": "sigap-check",
        "device_revoked": False,
        "owner": None,
        "site": "Sigap: connection check",
        "position": {"lat": None, "lon": None, "accuracy_m": None, "source": None, "fix_at": None},
        "silent": False,
        "cancel": None,
        "alarms": [
            {
                "alarm": f"{DEVICE}-1",
                "activation": 1,
                "pressed_at": at,
                "age_is_minimum": False,
                "received_at": at,
                "silent": False,
                "bearer": "wifi",
                "battery_mv": None,
                "moved": False,
                "doubtful": False,
                "cancelled_at": None,
                "duress": False,
            }
        ],
        "other_devices": [],
    }
    kind = UPDATED_TYPE if closed else OPENED_TYPE
    delivery_id = new_id(now_us)
    about = {"source": source, "kind": kind, "incident_id": incident, "now_us": now_us}
    payload = envelope(event_id=delivery_id, data=data, **about)
    return Delivery(delivery_id, destination, incident, kind, payload, 1, now_us)
