"""Small transactions, grouped: what several attempts have to write at the same moment shares one commit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sqlalchemy import Connection

from gateway.store.engine import Store

BATCH = 64

Work = Callable[[Connection], Any]


class Writes:
    """Runs pieces of work in the store, in threads, never on the event loop."""

    def __init__(self, store: Store, threads: ThreadPoolExecutor) -> None:
        self._store, self._threads = store, threads
        self._queue: asyncio.Queue[tuple[Work, asyncio.Future[Any]]] = asyncio.Queue()

    async def do(self, work: Work) -> Any:
        """Run `work` in a transaction, together with what others ask for meanwhile.

        Raises what it raised; then nothing of it was kept, and the others' work was.
        """
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait((work, done))
        return await done

    async def run(self) -> None:
        """Commit what is asked for, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            batch = [await self._queue.get()]
            while len(batch) < BATCH and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            results = await loop.run_in_executor(self._threads, self._commit, [work for work, _ in batch])
            for (_, done), (result, error) in zip(batch, results, strict=True):
                if done.cancelled():
                    continue
                if error is None:
                    done.set_result(result)
                else:
                    done.set_exception(error)

    def _commit(self, batch: list[Work]) -> list[tuple[Any, Exception | None]]:
        try:
            with self._store.write() as conn:
                results = [work(conn) for work in batch]
            return [(result, None) for result in results]
        except Exception as error:  # noqa: BLE001 (handed to whoever asked for the work)
            if len(batch) == 1:
                return [(None, error)]
        # One of them is to blame: each by itself, so that it takes no other down.
        return [self._commit([work])[0] for work in batch]
