"""`sigap backends`: the gateway's commands, and receivers of the simulator to try a connection with."""

from __future__ import annotations

from gateway.commands.backends import backends
from simulator.police.receive import receive

backends.add_command(receive)

__all__ = ["backends"]
