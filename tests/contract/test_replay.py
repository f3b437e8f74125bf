"""The replay window against a set that never forgets."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from panic_wire.replay import ReplayWindow

U32_MAX = 2**32 - 1


class NaiveWindow:
    """Every counter ever seen, in a set."""

    def __init__(self, width: int) -> None:
        self.seen: set[int] = set()
        self.width = width

    def check_and_set(self, counter: int) -> bool:
        too_old = bool(self.seen) and counter <= max(self.seen) - self.width
        if too_old or counter in self.seen:
            return False
        self.seen.add(counter)
        return True


near = st.lists(st.integers(0, 700), max_size=200)
far = st.lists(st.integers(0, U32_MAX) | st.integers(0, 300) | st.integers(U32_MAX - 300, U32_MAX), max_size=60)


@settings(max_examples=400)
@given(counters=near | far, width=st.sampled_from([1, 2, 64, 256]))
def test_it_decides_as_the_naive_window(counters: list[int], width: int) -> None:
    window, naive = ReplayWindow(width=width), NaiveWindow(width)
    for counter in counters:
        expected = naive.check_and_set(counter)
        assert window.is_new(counter) is expected
        assert window.check_and_set(counter) is expected
        assert window.highest == max(naive.seen)
        assert 0 < window.bitmap < 1 << width


@settings(max_examples=200)
@given(counters=near | far, cuts=st.sets(st.integers(0, 199)))
def test_storing_it_anywhere_changes_nothing(counters: list[int], cuts: set[int]) -> None:
    stored, kept = ReplayWindow(), ReplayWindow()
    for place, counter in enumerate(counters):
        if place in cuts and stored.highest is not None:
            # As the gateway's store keeps it: 32 bytes.
            bitmap = int.from_bytes(stored.bitmap.to_bytes(32, "big"), "big")
            stored = ReplayWindow(stored.highest, bitmap)
        assert stored.check_and_set(counter) is kept.check_and_set(counter)


@settings(max_examples=200)
@given(counters=near | far)
def test_no_counter_is_ever_new_twice(counters: list[int]) -> None:
    window = ReplayWindow()
    accepted = [counter for counter in counters + counters if window.check_and_set(counter)]
    assert len(accepted) == len(set(accepted))


@settings(max_examples=200)
@given(blocks=st.lists(st.integers(0, 64), min_size=1, max_size=8), data=st.data())
def test_reservations_of_64_lose_no_frame_that_is_three_blocks_late(blocks: list[int], data: st.DataObject) -> None:
    """A device uses some of each block and loses power; its frames come in any order within three blocks."""
    sent = [64 * number + used for number, count in enumerate(blocks) for used in range(count)]
    late = data.draw(st.lists(st.integers(0, 191), min_size=len(sent), max_size=len(sent)))
    order = sorted(sent, key=lambda counter: counter + late[sent.index(counter)])
    window = ReplayWindow()
    assert all(window.check_and_set(counter) for counter in order)
