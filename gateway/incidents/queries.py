"""The statements of an alarm's path, built once: building one costs more than SQLite takes to run it."""

from __future__ import annotations

import sqlalchemy as sa

from gateway.incidents.stages import CLOSED
from gateway.store.prepared import prepared
from gateway.store.schema import alarms, devices, events, incidents

_device, _activation = sa.bindparam("device"), sa.bindparam("of_activation")
_incident = sa.bindparam("incident")

LOCK_DEVICE = sa.select(devices.c.id).where(devices.c.id == _device).with_for_update()
ALARM = (
    sa.select(alarms, incidents.c.test)
    .join(incidents, incidents.c.id == alarms.c.incident_id)
    .where(alarms.c.device_id == _device, alarms.c.activation == _activation)
)
FORGET_ALARM = alarms.delete().where(alarms.c.device_id == _device, alarms.c.activation == _activation)
MOVE_ALARM = (
    alarms.update()
    .where(alarms.c.device_id == _device, alarms.c.activation == _activation)
    .values(incident_id=_incident)
)
ALARMS = sa.select(alarms).where(alarms.c.incident_id == _incident).order_by(alarms.c.received_at)
# A device has one open incident at most: merging and splitting keep its alarms together.
OPEN_INCIDENT = (
    sa.select(alarms.c.incident_id)
    .join(incidents, incidents.c.id == alarms.c.incident_id)
    .where(alarms.c.device_id == _device, incidents.c.state != CLOSED, incidents.c.test == sa.bindparam("is_test"))
    .order_by(alarms.c.activation.desc())
    .limit(1)
)
INCIDENT = sa.select(incidents).where(incidents.c.id == _incident)
INCIDENT_TO_CHANGE = INCIDENT.with_for_update()
ADD_INCIDENT = incidents.insert()
ADD_ALARM = alarms.insert()
ADD_EVENT = events.insert()
TOUCH = incidents.update().where(incidents.c.id == _incident).values(changed_at=sa.bindparam("at"))
JOIN = (
    incidents.update()
    .where(incidents.c.id == _incident)
    .values(changed_at=sa.bindparam("at"), raised=incidents.c.raised + 1)
)

# The most travelled ones; what is read or written by few goes SQLAlchemy's own way.
ALARM, ALARMS, OPEN_INCIDENT, INCIDENT = map(prepared, (ALARM, ALARMS, OPEN_INCIDENT, INCIDENT))
ADD_INCIDENT, ADD_ALARM, ADD_EVENT, TOUCH, JOIN = map(prepared, (ADD_INCIDENT, ADD_ALARM, ADD_EVENT, TOUCH, JOIN))
