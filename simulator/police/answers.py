"""Sends the desk's stages to the gateway as signed status callbacks, again until the gateway has answered."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from datetime import UTC, datetime
from typing import Any

import aiohttp
from standardwebhooks import Webhook

from simulator.police.desk import Desk, Incident, Sent

STATUS_TYPE = "id.sigap.incident.status.v1"
FIRST_WAIT_S = 0.2
LONGEST_WAIT_S = 5.0
ATTEMPT_S = 5.0
GIVE_UP_AFTER_S = 300.0


class Answers:
    """url: the gateway's POST /v1/backends/{name}/status; None: this desk only receives."""

    def __init__(self, desk: Desk, url: str | None, secret: str | None) -> None:
        self._desk, self._url = desk, url
        self._signer = Webhook(secret) if secret else None
        self._session: aiohttp.ClientSession | None = None

    async def send(self, incident: Incident, stage: str, extra: dict[str, Any]) -> Sent:
        """Tell the gateway a stage; returns when it has answered; `answer` says what, or why not."""
        sent = Sent(stage, time.time() * 1000)
        incident.sent.append(sent)
        del incident.sent[:-50]
        await self._desk.tell()
        if self._url is None or self._signer is None:
            sent.answer = "no --callback-url and --callback-secret were given"
        else:
            sent.answer, sent.ok = await self._until_answered(self._url, self._signer, incident, stage, extra)
        await self._desk.tell()
        return sent

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _until_answered(
        self, url: str, signer: Webhook, incident: Incident, stage: str, extra: dict[str, Any]
    ) -> tuple[str, bool]:
        message_id = f"msg_{uuid.uuid4().hex}"  # the same at every attempt, so that it counts once
        event = {
            "specversion": "1.0",
            "id": message_id,
            "source": "urn:sigap:police-desk",
            "type": STATUS_TYPE,
            "subject": incident.id,
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "datacontenttype": "application/json",
            "data": {"incident": incident.id, "status": stage, **extra},
        }
        body = json.dumps(event, ensure_ascii=False)
        wait_s, deadline = FIRST_WAIT_S, time.monotonic() + GIVE_UP_AFTER_S
        while True:
            try:
                status, said = await self._once(url, signer, message_id, body)
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                status, said = None, f"{type(error).__name__}: {error}"
            if status is not None and status != 429 and status < 500:
                return f"{status} {said}", 200 <= status < 300
            if time.monotonic() > deadline:
                return f"given up: {status or ''} {said}", False
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, LONGEST_WAIT_S)

    async def _once(self, url: str, signer: Webhook, message_id: str, body: str) -> tuple[int, str]:
        now = datetime.now(UTC)
        headers = {
            "content-type": "application/cloudevents+json",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": signer.sign(message_id, now, body),
        }
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=ATTEMPT_S)
            connector = aiohttp.TCPConnector(keepalive_timeout=4)
            self._session = aiohttp.ClientSession(timeout=timeout, connector=connector)
        async with self._session.post(url, data=body.encode(), headers=headers, allow_redirects=False) as response:
            said = (await response.content.read(2000)).decode(errors="replace")
            return response.status, " ".join(said.split())
