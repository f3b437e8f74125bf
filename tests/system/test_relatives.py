"""Relatives get the registered message by a real mail server; one that fails holds up nobody else."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import pytest
import sqlalchemy as sa

from gateway.store.schema import deliveries, events
from sigap.local import BROKER, GATEWAY, MAIL, POLICE, WORLD, Button, Local
from sigap.processes import sigap_command
from tests.system.local_lab import CITIZEN, committed, event_kinds, local, prepared, running, says, wait_until

NAME = CITIZEN.name
SMTP = {b"EHLO": b"250 here\r\n", b"MAIL": b"250 go on\r\n", b"RCPT": b"250 go on\r\n", b"DATA": b"354 go on\r\n"}


class Stalling:
    """A mail server that takes connections and falls silent: at once, or when it has the whole mail."""

    def __init__(self, port: int, after_data: bool) -> None:
        self._after_data = after_data
        self._listener = socket.create_server(("127.0.0.1", port))
        self._held: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        # Without the shutdown a thread in accept() keeps the port.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in self._held:
            sock.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self._held.append(sock)
                if self._after_data:
                    threading.Thread(target=self._talk, args=(sock,), daemon=True).start()

    def _talk(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            sock.sendall(b"220 here\r\n")
            while True:
                word = sock.recv(4096)[:4].upper()
                if word not in SMTP:
                    return  # the mail itself: no answer, ever
                sock.sendall(SMTP[word])


@contextlib.contextmanager
def without_mail(folder: Path, fault: str) -> Iterator[Local]:
    """A whole Sigap whose mail server refuses, is silent, or stalls after DATA, until the block ends."""
    with prepared(local(folder)) as one:
        server = None if fault == "refuses" else Stalling(one.ports.mail, fault == "stalls after DATA")
        try:
            one.start(BROKER, GATEWAY, POLICE)
            wait_until(lambda: one.health().get("ok"), "a healthy gateway")
            one.start(WORLD)
            wait_until(lambda: (one.folder / "world.json").exists(), "the world")
            with one.world() as world:
                world.wait_running(NAME)
                wait_until(lambda: any("mqtt: connected" in line for line in world.console(NAME)), "the button's login")
            yield one
        finally:
            if server is not None:
                server.close()
        one.start(MAIL)
        wait_until(lambda: mails(one), "the mail, when the server is back", 40)
        wait_until(lambda: "relatives" in event_kinds(one), "the event")


def mails(one: Local) -> list[EmailMessage]:
    paths = sorted(one.mails.glob("*.eml"))
    return [message_from_bytes(path.read_bytes(), policy=policy.default) for path in paths]  # type: ignore[misc]


def last_errors(one: Local) -> list[str]:
    of_relatives = sa.select(deliveries.c.last_error).where(deliveries.c.destination.like("relative:%"))
    with one.store.read() as conn:
        return [error for error in conn.execute(of_relatives).scalars() if error]


@pytest.mark.parametrize("fault", ["refuses", "is silent", "stalls after DATA"])
def test_a_mail_server_that_fails_holds_up_nobody(tmp_path: Path, fault: str) -> None:
    with without_mail(tmp_path, fault) as one, one.world() as world:
        since = max((entry["seq"] for entry in world.pins(NAME)), default=0)
        pressed = time.monotonic()
        world.press(NAME)
        wait_until(lambda: "accepted" in event_kinds(one), "accepted")
        says(world, NAME, "received", since)
        assert time.monotonic() - pressed < 5.0
        assert "relatives" not in event_kinds(one)
        (reason,) = wait_until(lambda: last_errors(one), "the reason, with the incident's delivery", 30)
        assert len(reason) > 10
    assert "password" not in reason


def test_the_alarm_help_on_the_way_and_the_end(tmp_path: Path) -> None:
    auto = {"acknowledged": 0.3, "dispatched": 0.6, "closed": 1.0}
    home = Button(NAME, "Warga contoh", site=("Rumah contoh", -6.99040, 110.42290))
    with running(local(tmp_path, auto=auto, buttons=(home,))) as one, one.world() as world:
        world.press(NAME)
        wait_until(lambda: len(mails(one)) == 3, "three mails")
        wait_until(lambda: event_kinds(one).count("relatives") == 3, "three events")
        subjects = sorted(mail["subject"] for mail in mails(one))
        assert subjects == [
            "Sigap: Warga contoh menekan tombol darurat",
            "Sigap: bantuan sedang menuju Warga contoh",
            "Sigap: keadaan darurat Warga contoh telah berakhir",
        ]
        (first,) = [mail for mail in mails(one) if "menekan" in mail["subject"]]
        text = first.get_content()
        assert "WIB" in text
        assert "Tempat: Rumah contoh" in text
        assert "https://www.openstreetmap.org/?mlat=-6.99040&mlon=110.42290" in text
        with one.store.read() as conn:
            actors = set(conn.execute(sa.select(events.c.actor).where(events.c.kind == "relatives")).scalars())
        assert actors == {"relative:1"}
        assert len(committed(one)) == 1


def test_the_test_message(tmp_path: Path) -> None:
    with prepared(local(tmp_path)) as one:
        command = sigap_command("relative", "test", "Warga contoh", "--config", str(one.config))
        failed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert failed.returncode == 1
        assert "1 of 1 were not reached" in failed.stderr
        one.start(MAIL)
        one.processes.wait_until(lambda: "are kept" in one.processes.log_path(MAIL).read_text(), "the mail sink")
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        assert "sent" in done.stdout
        (mail,) = mails(one)
        assert mail["subject"] == "Sigap: pesan uji coba untuk Warga contoh"
        assert "Ini uji coba" in mail.get_content()
