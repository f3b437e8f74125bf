"""Who is measured: each is a process of its own with a broker of its own, so that one that rests costs the others
nothing."""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
import shutil
import socket
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from gateway.broker.running import find_mosquitto
from gateway.store.engine import sqlite_url
from sigap.bench.provision import provision
from sigap.bench.receiver import Lines, Receiver
from sigap.problem import MISSING, Problem
from sigap.processes import Processes, die_with_parent, free_port, sigap_command

SIGAP, NAIVE, NODE_RED, SUBSCRIBER = "sigap", "naive", "node-red", "mosquitto_sub"
NAMES = (SIGAP, NAIVE, NODE_RED, SUBSCRIBER)
WORK = {
    SIGAP: "the gateway: opens the frame, writes alarm, incident, event, replay window, the police's delivery; receipt",
    NAIVE: "paho-mqtt and Python's sqlite3: the same rows, a commit for each alarm; receipt",
    NODE_RED: "Node-RED with its SQLite node: opens the frame, writes one row, a commit for each alarm; receipt",
    SUBSCRIBER: "receives only: nothing is opened, stored or answered",
}
START_LIMIT_S = 60.0
NODE_RED_TABLE = "CREATE TABLE alarms (device INTEGER, activation INTEGER, at INTEGER, body BLOB)"
NODE_RED_FILES = Path(__file__).with_name("node_red")

# As `sigap broker` writes them, but for the logins.
BROKER = """\
listener {port} 127.0.0.1
allow_anonymous true
set_tcp_nodelay true
max_packet_size 4096
max_queued_messages 100000
max_inflight_messages 1000
sys_interval 0
user {user}
log_type error
log_type warning
"""


@dataclass
class Peer:
    """One that runs. receipts: what it answers, or for the subscriber what it received."""

    name: str
    port: int
    receipts: Receiver | Lines
    pid: int
    answers: bool = True  # with sealed status frames; else each frame itself comes back
    store: str | None = None  # the URL of its database

    def cpu_s(self) -> float:
        """Processor time so far, of all its threads, user and system (proc(5))."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_mb(self) -> float:
        """Memory in use (proc(5), statm)."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


class Peers:
    """Starts them in `folder`; stop() ends all. node_red: where `npm ci` was run, or None for none. police: the URL of
    a police system that is there; by default it is away, so that only what comes before the receipt is measured."""

    def __init__(self, folder: Path, devices: int, node_red: Path | None, police: str | None = None) -> None:
        self._police = police
        self._folder, self._devices, self._node_red = folder, devices, node_red
        self._processes = Processes(folder / "logs")
        self._peers: list[Peer] = []
        self._subscribers: list[subprocess.Popen[bytes]] = []

    def start(self, name: str) -> Peer:
        """Start a peer and its broker; returns when it takes alarms."""
        port = free_port()
        self._start_broker(name, port)
        starters = {SIGAP: self._sigap, NAIVE: self._naive, NODE_RED: self._start_node_red, SUBSCRIBER: self._sub}
        peer = starters[name](port)
        self._peers.append(peer)
        return peer

    def check(self) -> None:
        """A Problem when one has ended."""
        self._processes.check()

    def stop(self) -> None:
        for peer in self._peers:
            peer.receipts.close()
        for process in self._subscribers:
            process.kill()
            process.wait()
        self._processes.stop_all()

    def _start_broker(self, name: str, port: int) -> None:
        config = self._folder / f"{name}.mosquitto.conf"
        # Started as root it would become a user who cannot read the folder; for others it says nothing.
        config.write_text(BROKER.format(port=port, user="root" if os.geteuid() == 0 else "nobody"))
        self._processes.start(f"{name}-broker", [find_mosquitto(), "-c", str(config)])
        self._processes.wait_until(lambda: listens(port), f"the start of {name}'s broker", START_LIMIT_S)

    def _sigap(self, port: int) -> Peer:
        folder = self._folder / "gateway"
        folder.mkdir(parents=True)
        url, http = sqlite_url(folder / "sigap.db"), free_port()
        provision(url, self._devices)
        secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
        (folder / "sigap.toml").write_text(
            f'[gateway]\ndata_dir = "."\n[broker]\nport = {port}\npassword = "not asked for here"\n'
            f"[http]\nport = {http}\n"
            f'[[backends]]\nname = "police"\nurl = "{self._police or f"http://127.0.0.1:{free_port()}/"}"\n'
            f'secret = "{secret}"\ncallback_secret = "{secret}"\n'
        )
        self._processes.start(SIGAP, sigap_command("gateway", "--config", str(folder / "sigap.toml")))
        self._processes.wait_until(lambda: _healthy(http), "a healthy gateway", START_LIMIT_S)
        return Peer(SIGAP, port, Receiver(port), self._processes.pid(SIGAP), store=url)

    def _naive(self, port: int) -> Peer:
        database = self._folder / "naive.db"
        url = sqlite_url(database)
        provision(url, self._devices)
        command = [sys.executable, "-m", "sigap.bench.naive", str(port), str(database)]
        self._processes.start(NAIVE, [*command, *([self._police] if self._police else [])])
        log = self._processes.log_path(NAIVE)
        self._processes.wait_until(lambda: "ready" in log.read_text(), "the start of the naive one", START_LIMIT_S)
        return Peer(NAIVE, port, Receiver(port), self._processes.pid(NAIVE), store=url)

    def _start_node_red(self, port: int) -> Peer:
        if self._node_red is None:
            raise Problem("Node-RED is not installed for the bench", "Run `make bench`, which does it", MISSING)
        node = shutil.which("node")
        if node is None:
            raise Problem("node is missing", "Install it: apt install nodejs npm", MISSING)
        folder = self._folder / "node-red"
        folder.mkdir()
        for name in ("settings.js", "flows.json"):
            shutil.copy(NODE_RED_FILES / name, folder)
        (folder / "node_modules").symlink_to(self._node_red / "node_modules")
        database = folder / "alarms.db"
        with contextlib.closing(sqlite3.connect(database)) as connection:
            connection.execute("PRAGMA journal_mode=WAL").fetchall()  # stays; synchronous is FULL by itself
            connection.execute(NODE_RED_TABLE)
        program = self._node_red / "node_modules" / "node-red" / "red.js"
        environment = {"BENCH_BROKER_PORT": str(port), "BENCH_DATABASE": str(database)}
        command = [node, str(program), "--userDir", str(folder), "--settings", str(folder / "settings.js")]
        self._processes.start(NODE_RED, command, environment)
        log = self._processes.log_path(NODE_RED)
        self._processes.wait_until(
            lambda: "Connected to broker" in log.read_text(), "the start of Node-RED", START_LIMIT_S
        )
        return Peer(NODE_RED, port, Receiver(port), self._processes.pid(NODE_RED))

    def _sub(self, port: int) -> Peer:
        # Not with the others: its output is read here.
        program = shutil.which("mosquitto_sub")
        if program is None:
            raise Problem("mosquitto_sub is missing", "Install it: apt install mosquitto-clients", MISSING)
        topic = ["-t", "sigap/v1/d/+/up", "-q", "1", "-F", "%x", "--nodelay"]
        command = [program, "-p", str(port), "-i", "bench-sub", "-c", *topic]
        # A first one makes the session, so that nothing is sent before it is subscribed.
        subprocess.run([*command, "-E"], check=True, stdout=subprocess.DEVNULL, timeout=START_LIMIT_S)
        process = subprocess.Popen(command, stdout=subprocess.PIPE, preexec_fn=die_with_parent)
        self._subscribers.append(process)
        assert process.stdout is not None
        return Peer(SUBSCRIBER, port, Lines(process.stdout), process.pid, answers=False)


def listens(port: int) -> bool:
    """Whether somebody does, at this port here."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _healthy(http: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{http}/health", timeout=5) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False
