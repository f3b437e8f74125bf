"""What `sigap doctor` finds at the ends of the lines: broker, its certificate, the gateway itself, backends."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime

from cryptography import x509

from gateway.broker.certificates import AUTHORITY, CERTIFICATE, NAME
from gateway.operations.connecting import connect
from gateway.operations.findings import BAD, OK, WARN, Finding
from gateway.settings import Settings

LIMIT_S = 5.0
FEW_DAYS = 30
ENCRYPT = {
    "webhook": "Use its https address",
    "cap": "Use its https address",
    "mqtt": "Set its tls = true",
    "dc09": "Set its key, the same at the receiver",
}
# MQTT 3.1.1 CONNECT of a stranger (user name and password "sigap-doctor"), whom a broker must refuse: the gateway's own
# login would end the gateway's connection.
_NAME = b"\0\x0csigap-doctor"
_CONNECT = b"\0\x04MQTT\x04\xc2\0\x0a" + _NAME * 3
CONNECT = bytes((0x10, len(_CONNECT))) + _CONNECT
ACCEPTED, REFUSALS = 0, (4, 5)  # CONNACK return codes (3.2.2.3)


def broker(settings: Settings) -> Iterator[Finding]:
    """It speaks MQTT, refuses strangers, and its TLS listener shows a certificate that devices take."""
    where = settings.broker
    try:
        with socket.create_connection((where.host, where.port), LIMIT_S) as line:
            yield _greeted(line, f"{where.host} port {where.port}")
    except OSError as error:
        todo = "Start it (`sigap broker`, or its unit), or correct [broker] host and port"
        yield Finding("broker", BAD, f"nothing answers at {where.host} port {where.port}: {error}", todo)
        return
    if not where.tls_port:
        if where.bind not in ("127.0.0.1", "::1", "localhost"):
            todo = "Set [broker] tls_port, and keep devices off [broker] port with a firewall"
            yield Finding("broker", WARN, "devices connect without TLS: passwords can be read on the way", todo)
        return
    yield from _tls(settings)


def _greeted(line: socket.socket, where: str) -> Finding:
    line.settimeout(LIMIT_S)
    line.sendall(CONNECT)
    answer = line.recv(4)
    if len(answer) < 4 or answer[0] != 0x20:
        return Finding("broker", BAD, f"what answers at {where} is no MQTT broker", "Correct [broker] host and port")
    if answer[3] == ACCEPTED:
        return Finding("broker", BAD, "the broker lets strangers in", "Run it by `sigap broker`, with its files")
    if answer[3] not in REFUSALS:
        return Finding("broker", WARN, f"the broker answers a login with code {answer[3]}", "See its log")
    return Finding("broker", OK, f"it answers at {where} and refuses strangers")


def _tls(settings: Settings) -> Iterator[Finding]:
    authority, where = settings.broker_dir / AUTHORITY, settings.broker
    if not authority.exists():
        yield Finding("broker", BAD, f"{authority} is missing", "Restore it; `sigap broker --check` makes a new one")
        return
    context = ssl.create_default_context(cafile=str(authority))
    try:
        with (
            socket.create_connection((where.host, where.tls_port), LIMIT_S) as plain,
            context.wrap_socket(plain, server_hostname=NAME) as line,
        ):
            yield _greeted(line, f"{where.host} port {where.tls_port} over {line.version()}")
    except (OSError, ssl.SSLError) as error:
        todo = "Start the broker anew; a certificate of your own needs its authority in the devices' settings"
        yield Finding("broker", BAD, f"devices cannot connect over TLS at port {where.tls_port}: {error}", todo)
        return
    for path in (authority, settings.broker_dir / CERTIFICATE):
        days = (x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc - datetime.now(UTC)).days
        state = OK if days > FEW_DAYS else BAD if days < 1 else WARN
        todo = "" if state == OK else f"Delete {path.name} and start the broker: it makes a new one"
        yield Finding("broker", state, f"the certificate {path.name} is good for {days} days", todo)


def gateway(settings: Settings) -> Iterator[Finding]:
    """The running gateway's own word."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.http.host, settings.http.host)
    line = http.client.HTTPConnection(host, settings.http.port, timeout=LIMIT_S * 2)
    try:
        line.request("GET", "/health/ready")
        report = json.loads(line.getresponse().read(64 << 10))
        problems = report["problems"]
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        todo = "Start it (`sigap gateway`, or its unit), and see its log"
        yield Finding("gateway", BAD, f"no gateway answers at {host} port {settings.http.port}: {error}", todo)
        return
    finally:
        line.close()
    if problems:
        yield Finding("gateway", BAD, f"it cannot take alarms: {', '.join(problems)}", "See its log")
    else:
        yield Finding("gateway", OK, "it takes alarms")


def backends(settings: Settings) -> Iterator[Finding]:
    """A connection to each, with TLS where its URL says so; nothing is sent."""
    for backend in settings.backends:
        reach = backend.reach
        if reach is None or reach.datagram:
            why = "fetches from us" if reach is None else "is told by UDP: `sigap backends check` asks it"
            yield Finding("backends", OK, f"{backend.name} {why}")
            continue
        host, port = reach.host, reach.port
        try:
            connect(reach, LIMIT_S)
        except OSError as error:
            todo = "See that it runs and that a firewall lets us through; alarms wait for it in the outbox"
            yield Finding("backends", BAD, f"{backend.name} cannot be reached at {host} port {port}: {error}", todo)
            continue
        is_open = not reach.secure and not getattr(backend, "key", "")
        if is_open and host not in ("127.0.0.1", "::1", "localhost"):
            yield Finding("backends", WARN, f"{backend.name} is told without encryption", ENCRYPT[backend.kind])
        else:
            yield Finding("backends", OK, f"{backend.name} answers at {host} port {port}")
