"""Runs store, book, outbox and webhook in a process of their own, so that a test can kill it.

python -m tests.system.outbox_process DATABASE_URL ALARMS_URL SECRET
"""

from __future__ import annotations

import asyncio
import logging
import sys

from gateway.backend_settings import WebhookSettings
from gateway.backends.accepting import accepts
from gateway.backends.webhook import WebhookBackend
from gateway.incidents.book import Book
from gateway.outbox.engine import Outbox
from gateway.store.engine import open_store


def main(url: str, alarms: str, secret: str) -> None:
    logging.basicConfig(level=logging.INFO)
    backend = WebhookSettings(name="police", url=alarms, secret=secret, callback_secret=secret, timeout_s=60.0)
    with open_store(url) as store:
        book = Book(["police"], "test")
        asyncio.run(Outbox(store, [WebhookBackend(backend, accepts(book.record_stage))]).run())


if __name__ == "__main__":
    main(*sys.argv[1:])
