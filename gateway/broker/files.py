"""Writes what Mosquitto reads: its configuration, who may log in, and what each may publish and receive.

Tested with Mosquitto 2.0.11; options are those of mosquitto.conf(5) of 2.0. All files have mode 0600 and
appear whole (written beside, then renamed), so that a broker that reloads in between reads the old or the
new ones.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hashlib
import os
import pwd
import resource
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from gateway.broker import certificates
from gateway.settings import BrokerSettings
from panic_wire import topics
from panic_wire.keys import broker_password
from sigap.problem import USAGE, Problem

CONFIG, PASSWORDS, ACL, PID = "mosquitto.conf", "passwords", "acl", "mosquitto.pid"

LOOPBACK = "127.0.0.1"
PHONE_UP, PHONE_DOWN = topics.PHONE_PREFIX + "%u/up", topics.PHONE_PREFIX + "%u/down"
MOST_IN_FLIGHT = 20_000  # gateway/ingest/intake.py, MOST_QOS1
MOST_GATEWAYS = 16  # connections at the gateway's own port: it needs one, and a moment's second when it comes back
OTHER_FILES = 100  # that the broker has open beside its connections

# Iterations slow down the guessing of a password that a person chose. A device's is 128 bits derived from its
# root key, which nobody guesses; and at each reload Mosquitto checks every connected client again and does
# nothing else meanwhile: with 20,000 devices, 2,000 of them connected, 32 ms with 1, 140 ms with its own 101.
DEVICE_ITERATIONS = 1
GATEWAY_ITERATIONS = 1000


class Login(Protocol):
    """What is needed of a device to let it log in."""

    @property
    def id(self) -> int: ...
    @property
    def root_key(self) -> bytes: ...
    @property
    def revoked(self) -> bool: ...


def password_line(username: str, password: str, iterations: int, salt: bytes | None = None) -> str:
    """One line of a Mosquitto password file: `user:$7$iterations$salt$hash`, PBKDF2 with HMAC-SHA-512 (RFC
    8018)."""
    salt = secrets.token_bytes(12) if salt is None else salt
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, iterations)
    return f"{username}:$7${iterations}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def require_password(broker: BrokerSettings) -> None:
    """Raise a Problem when the gateway has no password worth the name, so that no broker can be set up."""
    if len(broker.password) < 12:
        raise Problem(
            "[broker] password has fewer than 12 characters",
            "Set a long random one; `sigap config init` writes one",
            USAGE,
        )


def write_broker_files(folder: Path, broker: BrokerSettings, devices: Iterable[Login]) -> Path:
    """Write the files into `folder` and return the configuration's path. Revoked devices get no login."""
    require_password(broker)
    if "\n" in str(folder):
        raise Problem("the path of data_dir holds a line break", "Rename the folder", USAGE)
    lines = [password_line(broker.username, broker.password, GATEWAY_ITERATIONS)]
    for device in devices:
        if not device.revoked:
            name = topics.device_name(device.id)
            lines.append(password_line(name, broker_password(device.root_key, device.id), DEVICE_ITERATIONS))
    with _writable(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if broker.tls_port:
            certificates.ensure(folder, broker.device_host or broker.host)
        _write(folder / PASSWORDS, "\n".join(lines) + "\n")
        _write(folder / ACL, _acl(broker))
        _write(folder / CONFIG, _config(folder.absolute(), broker))
    return folder / CONFIG


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the folder's lock: whoever reads the devices and writes the files must do both in one go."""
    with _writable(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _writable(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Problem(
            f"the broker's files in {folder} cannot be written: {error.strerror}",
            "Free some space, or give this user the right to write there",
        ) from error


def _acl(broker: BrokerSettings) -> str:
    return f"""\
# Written by sigap: changes here are lost. %u is the user name, which for a device is its id in eight hex
# digits. What is not allowed is dropped; MQTT 3.1.1 has no way to tell the sender.
user {broker.username}
topic readwrite sigap/v1/#

# A device writes its own frames and state, reads its own answers, and nothing else.
pattern write {topics.up("%u")}
pattern write {topics.state("%u")}
pattern read {topics.down("%u")}

# So does a phone.
pattern write {PHONE_UP}
pattern read {PHONE_DOWN}
"""


def _config(folder: Path, broker: BrokerSettings) -> str:
    return f"""\
# Written by sigap: changes here are lost. Settings are in sigap.toml, section [broker].
# For devices.
listener {broker.port} {broker.bind}
use_username_as_clientid true
max_connections {_most_clients(broker)}
{_tls_listener(folder, broker)}{_gateway_listener(broker)}{_phone_listener(broker)}
# Nobody without a login. A client's id is always its user name: otherwise a device could end
# another's connection by using its client id.
allow_anonymous false
password_file {folder / PASSWORDS}
acl_file {folder / ACL}

# Without it, small messages wait 40 ms for each other (Nagle and delayed acknowledgement).
set_tcp_nodelay true

# A frame has at most 46 bytes. A larger packet ends its sender's connection; message_size_limit would drop
# it and tell the sender that it had arrived.
max_packet_size 4096

# What waits for the gateway while it restarts. The default, 1000, drops the newest alarms beyond it; each
# waiting message costs about 360 bytes. As many in flight as the gateway takes in at once: it lets devices take turns,
# which this broker does not, so that a flood from some delays no other's alarm.
max_queued_messages 100000
max_inflight_messages {MOST_IN_FLIGHT}

# Retained states and the gateway's session outlive an orderly restart. Not autosave_on_changes: it saves
# after acknowledging, so a kill still loses messages, and each one costs up to 4 ms. It need not be
# sure: a button keeps and repeats its alarm until the gateway's receipt.
persistence true
persistence_location {folder}/
autosave_interval 60
persistent_client_expiration 30d

# Nobody may read $SYS.
sys_interval 0

# `sigap device add` and `revoke` send SIGHUP to this process.
pid_file {folder / PID}
user {_current_user()}

log_dest stderr
log_type error
log_type warning
log_type notice
log_timestamp_format %Y-%m-%dT%H:%M:%S%z
"""


def _tls_listener(folder: Path, broker: BrokerSettings) -> str:
    if not broker.tls_port:
        return ""
    return f"""
# For devices, over TLS. They log in with name and password here too.
listener {broker.tls_port} {broker.bind}
use_username_as_clientid true
max_connections {_most_clients(broker)}
certfile {folder / certificates.CERTIFICATE}
keyfile {folder / certificates.KEY}
tls_version tlsv1.2
"""


def gateway_bind(broker: BrokerSettings) -> str:
    """Where the gateway's own port is: on this machine alone, unless the gateway finds its broker on another."""
    return LOOPBACK if broker.host in (LOOPBACK, "localhost", "::1") else broker.bind


def _gateway_listener(broker: BrokerSettings) -> str:
    if not broker.gateway_port:
        return ""
    return f"""
# For the gateway alone: silent connections that fill the devices' port leave this one free.
listener {broker.gateway_port} {gateway_bind(broker)}
use_username_as_clientid true
max_connections {MOST_GATEWAYS}
"""


def _phone_listener(broker: BrokerSettings) -> str:
    if not broker.phone_port:
        return ""
    return f"""
# For phones, by WebSocket: behind the server that adds TLS, as the desk is.
listener {broker.phone_port} {LOOPBACK}
protocol websockets
use_username_as_clientid true
max_connections {_most_clients(broker)}
"""


def _most_clients(broker: BrokerSettings) -> int:
    """Of each port for devices or phones: never so many together that no file is left for the gateway's connection."""
    ports = 1 + bool(broker.tls_port) + bool(broker.phone_port)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        return broker.most_clients
    return max(1, min(broker.most_clients, (hard - OTHER_FILES - MOST_GATEWAYS) // ports))


def _current_user() -> str:
    # Started as root, Mosquitto becomes the user `mosquitto`, who cannot read files of mode 0600. It stays
    # who started it: an installation runs Sigap as a user of its own, not as root.
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # a container's user without a name; not root, so Mosquitto does not look at it
        return "nobody"


def _write(path: Path, text: str) -> None:
    beside = path.with_name(path.name + ".new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, 0o600)
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    beside.replace(path)
