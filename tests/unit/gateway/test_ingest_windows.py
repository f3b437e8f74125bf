"""Replay windows in the store, and which of a device's epochs is the newest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.ingest.windows import Windows
from gateway.registry.devices import add_device
from gateway.store.engine import Store
from gateway.store.schema import replay_windows
from panic.counter import Counter
from tests.unit.gateway.store_lab import new_store

DEVICE = 7
A, B = 0xAAAA, 0xBBBB


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder: Path = tmp_path_factory.mktemp("store")
    with new_store(folder / "sigap.db") as store:
        with store.write() as conn:
            add_device(conn, name="shop-1", now_us=1, device_id=DEVICE)
        yield store


@pytest.fixture(autouse=True)
def _forget(store: Store) -> None:
    forget(store)


def forget(store: Store) -> None:
    with store.write() as conn:
        conn.execute(replay_windows.delete())


def take(store: Store, epoch: int, counter: int, at: int) -> bool:
    with store.write() as conn:
        windows = Windows(conn)
        new = windows.check_and_set(DEVICE, epoch, counter, at)
        windows.flush()
        return new


def is_later(store: Store, frame: tuple[int, int], known: tuple[int, int]) -> bool:
    with store.read() as conn:
        windows = Windows(conn)
        windows.load([DEVICE])
        return windows.is_later(DEVICE, frame, known)


def test_a_counter_is_new_once(store: Store) -> None:
    assert take(store, A, 100, 1)
    assert not take(store, A, 100, 2)
    assert take(store, A, 99, 3)
    assert take(store, A, 355, 4)
    assert not take(store, A, 99, 5)  # 256 behind: too old to know
    assert take(store, A, 101, 6)
    assert take(store, B, 100, 7)  # another epoch counts by itself


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.sampled_from([A, B]), st.integers(0, 600)), max_size=40), st.integers(1, 7))
def test_batches_change_nothing(store: Store, frames: list[tuple[int, int]], size: int) -> None:
    """Whatever is taken in one transaction or in many: each frame at most once, and what is new within the
    window."""
    forget(store)
    seen: set[tuple[int, int]] = set()
    for start in range(0, len(frames), size):
        with store.write() as conn:
            windows = Windows(conn)
            for epoch, counter in frames[start : start + size]:
                highest = max((c for e, c in seen if e == epoch), default=-1)
                expected = (epoch, counter) not in seen and highest - counter < 256
                assert windows.check_and_set(DEVICE, epoch, counter, 1) == expected
                if expected:
                    seen.add((epoch, counter))
            windows.flush()


def test_what_is_rolled_back_was_not_seen(store: Store) -> None:
    def fail() -> None:
        with store.write() as conn:
            windows = Windows(conn)
            assert windows.check_and_set(DEVICE, A, 5, 1)
            windows.flush()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert take(store, A, 5, 2)


def test_a_late_frame_of_a_former_epoch_is_taken_but_is_not_later(store: Store) -> None:
    assert take(store, A, 5000, 10)
    assert take(store, B, 3, 20)  # the device lost its counters
    assert is_later(store, (B, 3), (A, 5000))
    assert take(store, A, 4999, 30)  # held up on its way
    assert take(store, A, 5001, 31)
    assert not is_later(store, (A, 5001), (B, 3))
    assert is_later(store, (B, 4), (A, 5001))
    assert is_later(store, (A, 5001), (A, 5000))
    assert not is_later(store, (A, 4999), (A, 5000))


def test_epochs_keep_their_order_when_the_clock_is_set_back(store: Store) -> None:
    assert take(store, A, 1, 1_000_000)
    assert take(store, B, 1, 5)  # years earlier, by the clock
    assert is_later(store, (B, 1), (A, 1))
    assert take(store, B, 2, 6)
    assert take(store, A, 2, 7)
    assert not is_later(store, (A, 2), (B, 2))
    with store.read() as conn:
        rows = conn.execute(sa.select(replay_windows.c.epoch, replay_windows.c.updated_at)).all()
    stamps = {row.epoch: row.updated_at for row in rows}
    assert stamps[B] > stamps[A]


class _Flash:
    """panic.files.Files in memory; `full` refuses every write."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}
        self.full = False

    def make_directory(self, path: str) -> None:
        pass

    def read(self, path: str) -> bytes | None:
        return self.contents.get(path)

    def write(self, path: str, data: bytes) -> None:
        if self.full:
            raise OSError(28)
        self.contents[path] = data


@pytest.mark.parametrize("used_before", [1, 63, 64, 65, 200])
@pytest.mark.parametrize("used_in_ram", [1, 64, 200])
def test_a_device_is_back_in_its_stored_epoch_after_one_in_ram(
    store: Store, used_before: int, used_in_ram: int
) -> None:
    """Its flash refused the counters for a while: the frames of every life are new, and later than those before."""
    flash, epochs, sent = _Flash(), iter(range(A, B)), []

    def boot() -> Counter:
        return Counter(flash, lambda: next(epochs), log=lambda line: None)

    def send(counter: Counter) -> tuple[int, int]:
        number = counter.take_counter()
        sent.append((counter.epoch, number))
        assert take(store, *sent[-1], at=len(sent))
        return sent[-1]

    counter = boot()
    for _ in range(used_before):
        send(counter)
    flash.full = True
    while send(counter)[0] == A:
        pass
    for _ in range(used_in_ram - 1):
        send(counter)
    in_ram = sent[-1]
    flash.full = False
    counter = boot()
    back = send(counter)
    assert back[0] == A != in_ram[0]
    assert is_later(store, back, in_ram)
    assert not is_later(store, in_ram, back)
    assert is_later(store, send(counter), in_ram)
    for frame in sent:
        assert not take(store, *frame, at=len(sent) + 1)
