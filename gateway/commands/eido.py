"""`sigap incidents eido`: one incident as a document that other agencies' systems read."""

from __future__ import annotations

from pathlib import Path

import click

from gateway.backends import eido
from gateway.clock import now_us
from gateway.commands.options import config_option, print_json
from gateway.incidents import queries
from gateway.incidents.cloudevents import UPDATED_TYPE, envelope, incident_data
from gateway.outbox.rows import new_id
from gateway.registry.devices import get_device
from gateway.settings import load_settings
from gateway.store.engine import open_store
from sigap.problem import Problem


@click.command("eido")
@config_option
@click.argument("incident")
def export(config_path: Path, incident: str) -> None:
    """Print INCIDENT, as it stands, as a NENA EIDO document (NENA-STA-021.1a, JSON). It names people.

    \b
    sigap incidents eido 01a3f4e2-9c62-7000-8000-000000000001 > incident.json
    """
    settings = load_settings(config_path)
    with open_store(settings.store_url) as store, store.read() as conn:
        row = conn.execute(queries.INCIDENT, {"incident": incident}).first()
        if row is None:
            raise Problem(f"there is no incident {incident}", "See `sigap incidents`")
        device = get_device(conn, row.device_id)
        assert device is not None  # a foreign key says so
        data = {**incident_data(conn, incident, device, row.state), "other_incident": None}
    now = now_us()
    about = {"source": settings.gateway.name, "kind": UPDATED_TYPE, "incident_id": incident, "now_us": now}
    print_json(eido.document(envelope(event_id=new_id(now), data=data, **about)))
