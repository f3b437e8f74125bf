"""A real `sigap police-desk` process for tests."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from standardwebhooks import Webhook

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
CALLBACK_SECRET = "whsec_" + base64.b64encode(bytes(range(32, 64))).decode()


class PoliceDesk:
    """Started with --ready-json on a free port; stops, or is killed, at the end of its `with`."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.log = folder / "police-desk.log"
        command = [sys.executable, "-m", "sigap.cli", "police-desk", "--port", "0", "--secret", SECRET]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--ready-json", *arguments], stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"the police desk did not start: {self.log.read_text()}"
        self.ready: dict[str, Any] = json.loads(line)
        self.url: str = self.ready["url"]
        self.alarms: str = self.ready["alarms"]

    def __enter__(self) -> PoliceDesk:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def request(self, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes, dict[str, str]]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(self.url + path.lstrip("/"), body, named)
        try:
            with urllib.request.urlopen(request, timeout=70) as answer:
                return answer.status, answer.read(), dict(answer.headers)
        except urllib.error.HTTPError as error:
            return error.code, error.read(), dict(error.headers)

    def behave(self, **behaviour: Any) -> tuple[int, Any]:
        body = json.dumps(behaviour).encode()
        status, answer, _ = self.request("behave", body, content_type="application/json")
        return status, json.loads(answer) if status == 200 else answer.decode()

    def received(self, at_least: int = 0, timeout_s: float = 20) -> list[dict[str, Any]]:
        """Deliveries, once `at_least` arrivals (repeats counted) are there."""
        status, body, _ = self.request(f"api/received?at_least={at_least}&timeout_s={timeout_s}")
        assert status == 200, body
        return json.loads(body)

    def send_alarm(self, webhook_id: str, incident: str = "i1", secret: str = SECRET, **data: Any) -> tuple[int, Any]:
        """What the gateway would send."""
        event = {
            "id": webhook_id,
            "type": "id.sigap.incident.opened.v1",
            "data": {"incident": incident, **data},
        }
        body, now = json.dumps(event), datetime.now(UTC)
        headers = {
            "content_type": "application/cloudevents+json",
            "webhook_id": webhook_id,
            "webhook_timestamp": str(int(now.timestamp())),
            "webhook_signature": Webhook(secret).sign(webhook_id, now, body),
        }
        status, answer, _ = self.request("alarms", body.encode(), **headers)
        return status, json.loads(answer)
