"""A real PostgreSQL in a folder of its own, for tests: started, killed, started again."""

from __future__ import annotations

import glob
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg

from sigap.processes import free_port

LIMIT_S = 30.0
USER = "nobody"  # PostgreSQL refuses to run as root


def program(name: str) -> str | None:
    """Where Debian, Homebrew or the PATH has it."""
    places = [*glob.glob("/usr/lib/postgresql/*/bin"), *glob.glob("/opt/homebrew/opt/postgresql*/bin")]
    return shutil.which(name) or shutil.which(name, path=os.pathsep.join(sorted(places, reverse=True)))


class Cluster:
    """url(name): a new, empty database of it, as SQLAlchemy's URL."""

    def __init__(self) -> None:
        self.folder, self.port = Path(tempfile.mkdtemp(prefix="sigap-postgres-")), free_port()
        self._as_user: dict[str, Any] = {}
        if os.geteuid() == 0:
            shutil.chown(self.folder, USER)
            self._as_user = {"user": USER, "group": "nogroup", "extra_groups": []}
        initdb = program("initdb")
        assert initdb
        self._run(initdb, "-D", str(self._data), "-U", "sigap", "-A", "trust", "-E", "UTF8", "--locale", "C")
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def start(self) -> None:
        postgres = program("postgres")
        assert postgres
        settings = ("listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=100")
        options = [part for each in settings for part in ("-c", each)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [postgres, "-D", str(self._data), "-p", str(self.port), *options],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                **self._as_user,
            )
        deadline = time.monotonic() + LIMIT_S
        while True:
            try:
                self._connect().close()
                return
            except psycopg.OperationalError:
                assert time.monotonic() < deadline, (self.folder / "log").read_text()[-2000:]
                time.sleep(0.05)

    def kill(self) -> None:
        """As a power cut ends it: the postmaster and all its children at once."""
        assert self.process is not None
        listed = subprocess.run(["ps", "-eo", "pid,ppid"], capture_output=True, text=True, check=True).stdout
        children = [int(pid) for pid, ppid in (line.split() for line in listed.splitlines()[1:]) if ppid == self._pid]
        for pid in (self.process.pid, *children):
            os.kill(pid, signal.SIGKILL)
        self.process.wait()

    @property
    def _pid(self) -> str:
        assert self.process is not None
        return str(self.process.pid)

    def url(self, name: str) -> str:
        with self._connect() as connection:
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
        return f"postgresql+psycopg://sigap@127.0.0.1:{self.port}/{name}?master_key={self.folder / (name + '.key')}"

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)  # fast shutdown
            self.process.wait(LIMIT_S)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _connect(self) -> psycopg.Connection[Any]:
        where = f"host=127.0.0.1 port={self.port} user=sigap dbname=postgres connect_timeout=2"
        return psycopg.connect(where, autocommit=True)

    def _run(self, *command: str) -> None:
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=self.folder, **self._as_user)
        assert done.returncode == 0, done.stderr
