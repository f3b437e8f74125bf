"""The broker as a process: found, checked before it starts, and told that its files have changed."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from gateway.broker.files import CONFIG, LOOPBACK, PID, Login, alone, gateway_bind, write_broker_files
from gateway.settings import BrokerSettings
from sigap.problem import MISSING, USAGE, Problem

# Debian and Homebrew put it where a person's PATH does not look.
PLACES = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin")

START_LIMIT_S = 10.0  # how long a starting broker may take until it can be told


def find_mosquitto() -> str:
    """Mosquitto's path; a Problem (exit code 3) when it is not installed."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *PLACES])
    found = shutil.which("mosquitto", path=path)
    if found is None:
        raise Problem(
            "Mosquitto, the MQTT broker, is missing",
            "Install it: apt install mosquitto (Debian, Ubuntu), brew install mosquitto (macOS)",
            MISSING,
        )
    return found


def require_listenable(broker: BrokerSettings) -> None:
    """Raise a Problem when nothing can listen at [broker] bind and its ports now."""
    for key, port, bind in (
        ("port", broker.port, broker.bind),
        ("tls_port", broker.tls_port, broker.bind),
        ("gateway_port", broker.gateway_port, gateway_bind(broker)),
        ("phone_port", broker.phone_port, LOOPBACK),
    ):
        if port:
            _require_port(bind, key, port)


def _require_port(bind: str, key: str, port: int) -> None:
    try:
        kind, _, _, _, address = socket.getaddrinfo(bind, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror as error:
        raise Problem(f"[broker] bind {bind} is no address: {error.strerror}", "Correct it", USAGE) from error
    with socket.socket(kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
            probe.listen()
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                what, todo = (
                    f"port {port} for the broker is in use",
                    f"End what listens there, or set [broker] {key}",
                )
            elif error.errno == errno.EADDRNOTAVAIL:
                what, todo = f"this machine does not have the address {bind}", "Correct [broker] bind"
            else:
                what = f"the broker may not listen at {bind} port {port}: {error.strerror}"
                todo = f"Set [broker] {key} to 1024 or more"
            raise Problem(what, todo) from error


def run(mosquitto: str, folder: Path) -> None:
    """Become Mosquitto with the files in `folder`. Does not return."""
    # Every device is an open file; the soft limit is often 1024.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # macOS refuses "unlimited" here; its default then stays
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with contextlib.suppress(FileNotFoundError):
        (folder / PID).unlink()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until Mosquitto takes it: else a reload now would end it
    os.execv(mosquitto, [mosquitto, "-c", str((folder / CONFIG).absolute())])


def refresh(folder: Path, broker: BrokerSettings, devices: Callable[[], Iterable[Login]]) -> bool:
    """Write the files for the devices there are now and tell the running broker; False when none runs here.

    devices: called while the folder is locked, so that of two commands at once the later list is the one
    that stays.
    """
    with alone(folder):
        write_broker_files(folder, broker, devices())
        return reload(folder)


def reload(folder: Path) -> bool:
    """Let the broker of this folder read its files again (SIGHUP); False when none runs.

    Mosquitto then refuses revoked devices, ends their connections, and lets new ones in.
    """
    pid = running_pid(folder)
    if pid is None:
        return False
    # A broker that is starting writes its pid file, reads the passwords, and only then takes this signal.
    deadline = time.monotonic() + START_LIMIT_S
    while not _takes_hangup(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    try:
        os.kill(pid, signal.SIGHUP)
    except ProcessLookupError:
        return False
    except PermissionError as error:
        raise Problem(
            f"the broker (process {pid}) runs as another user and was not told",
            f"Tell it as that user or root: kill -HUP {pid}",
        ) from error
    return True


def running_pid(folder: Path) -> int | None:
    """The process id of the broker that runs with this folder's configuration, or None."""
    try:
        pid = int((folder / PID).read_text())
    except (FileNotFoundError, ValueError):
        return None
    # The file outlives a killed broker, and its number may by now be somebody else's.
    return pid if pid > 1 and str((folder / CONFIG).absolute()) in _command_line(pid) else None


def _takes_hangup(pid: int) -> bool:
    """Whether the process has a handler for SIGHUP; taken for granted where there is no /proc."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    caught = next((line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:")), "1")
    return bool(int(caught, 16) & 1 << (signal.SIGHUP - 1))


def _command_line(pid: int) -> str:
    if Path("/proc/self/cmdline").exists():
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            return ""
    done = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return done.stdout
