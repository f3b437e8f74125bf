"""What the people in an incident are told: each button its own stages, each owner's relatives of their own."""

from __future__ import annotations

import sqlalchemy as sa

from gateway.incidents import cloudevents, queries, stages
from gateway.outbox import rows
from gateway.registry.devices import Device, get_device
from gateway.registry.people import list_relatives
from panic_wire.topics import device_name


def tell_devices(conn: sa.Connection, incident_id: str, stage: str, now_us: int, only: set[int] | None = None) -> None:
    """Write one delivery for each alarm, to its button. only: of these devices."""
    for alarm in conn.execute(queries.ALARMS, {"incident": incident_id}).all():
        if only is not None and alarm.device_id not in only:
            continue
        name = device_name(alarm.device_id)
        rows.enqueue(
            conn,
            destination=f"device:{name}",
            incident_id=incident_id,
            kind="status",
            payload={"device": name, "activation": alarm.activation, "stage": stage},
            now_us=now_us,
        )


def tell_relatives(
    conn: sa.Connection, incident_id: str, change: str, now_us: int, only: set[int] | None = None
) -> None:
    """Write one delivery for each relative of each owner: the alarm, help on the way, the end.

    They hear of their owner's buttons, and never where others of the incident are. only: of these devices. A held
    incident (of a revoked button) is told to nobody: who has that button now may want to frighten or to lure them.
    """
    incident = conn.execute(queries.INCIDENT, {"incident": incident_id}).one()
    if incident.held:
        return
    alarms = conn.execute(queries.ALARMS, {"incident": incident_id}).all()
    told: set[int] = set()
    for device_id in dict.fromkeys((incident.device_id, *(row.device_id for row in alarms))):
        device = get_device(conn, device_id) if only is None or device_id in only else None
        if device is None or device.owner_id is None or device.owner_id in told:
            continue
        told.add(device.owner_id)
        tell_relatives_of(conn, incident_id, device, change, now_us)


def tell_relatives_of(conn: sa.Connection, incident_id: str, device: Device, change: str, now_us: int) -> None:
    """The same for the owner of one button."""
    listed = [] if device.owner_id is None else list_relatives(conn, owner_id=device.owner_id)
    if not listed:
        return
    data = cloudevents.incident_data(conn, incident_id, device, change, for_owner=True)
    if data["test"]:
        listed = [] if change == stages.CLOSED else [each for each in listed if each.wants_tests]
    payload = {"change": change, "data": data}
    for relative in listed:
        rows.enqueue(
            conn,
            destination=f"relative:{relative.id}",
            incident_id=incident_id,
            kind="message",
            payload=payload,
            now_us=now_us,
        )
