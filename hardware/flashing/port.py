"""The serial port, before anybody talks over it: is it there, may we, is it free."""

from __future__ import annotations

import grp
import os
import stat
from pathlib import Path

import serial
from serial.tools import list_ports

from sigap.problem import MISSING, Problem

CABLE = (
    "Look at the cable and the plug (some cables only charge), then run the same command again: it goes on where it was"
)


def _ports() -> str:
    found = [port.device for port in list_ports.comports()]
    return f"This machine has {', '.join(found)}" if found else "No serial port is there: plug the board in"


def check(port: str) -> str:
    """The port's real name. Problem when it is missing, forbidden or in use; says what to do.

    A URL of pyserial ("socket://host:port") is left to who opens it.
    """
    if "://" in port:
        return port
    path = Path(port)
    if not path.exists():
        raise Problem(f"the port {port} is missing", f"{_ports()}. Give it by --port", MISSING)
    path = path.resolve()
    if not stat.S_ISCHR(path.stat().st_mode):
        raise Problem(f"{port} is no serial port", _ports())
    if not os.access(path, os.R_OK | os.W_OK):
        group = _group(path)
        raise Problem(
            f"no permission for {port}",
            f"Run `sudo usermod -aG {group} $USER`, log out and in again (the port belongs to the group {group})",
        )
    try:
        with serial.Serial(str(path), exclusive=True):
            return str(path)
    except (OSError, serial.SerialException) as error:
        if "lock" in str(error) or "busy" in str(error).lower():
            raise Problem(
                f"the port {port} is in use by another program", "Close the terminal, mpremote or editor that has it"
            ) from error
        raise Problem(f"the port {port} cannot be opened ({error})", CABLE) from error


def _group(path: Path) -> str:
    """The group that a port belongs to: dialout on Debian, uucp elsewhere."""
    try:
        name = grp.getgrgid(path.stat().st_gid).gr_name
    except KeyError:
        return "dialout"
    return name if name not in ("root", "tty") else "dialout"


def lost(port: str, doing: str, why: object) -> Problem:
    """The connection broke in the middle."""
    return Problem(f"{port}: the connection broke while {doing} ({why})", CABLE)
