"""The links between the parts of a local Sigap: direct ones, or each through the fault proxy on a port of its own."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

from sigap.problem import Problem
from sigap.processes import free_port
from simulator.faults.client import FaultClient

TO_BROKER, TO_POLICE, TO_MAIL, CALLBACKS = "gateway:broker", "gateway:police", "gateway:mail", "police:gateway"
FILE = "links.json"


def of_board(name: str) -> str:
    """The name of a board's link to the broker."""
    return f"board:{name}"


class Links:
    """proxied: every link goes through the fault proxy, else straight."""

    def __init__(self, folder: Path, proxied: bool) -> None:
        self.folder, self.proxied = folder, proxied
        self.path = folder / FILE
        self._ports: dict[str, int] = {}

    def prepare(self, targets: dict[str, int]) -> None:
        """Lay a link to each of these ports: {link name: port that listens}. Proxies keep the ports of the last run."""
        self._ports = dict(targets)
        if not self.proxied:
            return
        before = self._last_ports()
        taken = set(targets.values())
        for name in targets:
            port = before.get(name, 0)
            while not port or port in taken:
                port = free_port()
            taken.add(port)
            self._ports[name] = port
        rows = [{"name": name, "port": self._ports[name], "to": to} for name, to in targets.items()]
        part = self.path.with_suffix(".part")
        part.write_text(json.dumps({"links": rows}))
        os.replace(part, self.path)

    def add(self, name: str, target: int) -> None:
        """One more link, to this port. Problem when there is a proxy: that knows only the links it started with."""
        if self.proxied:
            raise Problem(f"the fault proxy has no link {name}", "Name every button before prepare()")
        self._ports[name] = target

    def port(self, name: str) -> int:
        """Where who uses this link connects to."""
        return self._ports[name]

    def ready(self) -> bool:
        """Whether the fault proxy listens on every link."""
        with contextlib.suppress(Problem), FaultClient.find(self.folder) as client:
            return {one["name"] for one in client.links()} == set(self._ports)
        return False

    def _last_ports(self) -> dict[str, int]:
        try:
            return {row["name"]: int(row["port"]) for row in json.loads(self.path.read_text())["links"]}
        except (OSError, ValueError, KeyError, TypeError):
            return {}  # the first run, or a file that somebody has touched: new ports do as well
