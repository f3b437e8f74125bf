# The replay window, case by case; tests/contract compares it with a set of all counters ever seen.
from panic_wire.replay import ReplayWindow


def test_the_first_counter_is_new_whatever_it_is():
    for first in (0, 1, 64, 0xFFFFFFFF):
        window = ReplayWindow()
        assert window.check_and_set(first)
        assert not window.check_and_set(first)
        assert window.highest == first
        assert window.bitmap == 1


def test_out_of_order_counters_are_each_new_once():
    window = ReplayWindow()
    for counter in (10, 12, 11, 9, 300, 299, 45):
        assert window.check_and_set(counter), counter
    for counter in (10, 12, 11, 9, 300, 299, 45):
        assert not window.check_and_set(counter), counter


def test_the_edge_of_the_window():
    window = ReplayWindow()
    window.check_and_set(1000)
    assert not window.check_and_set(1000 - 256)
    assert window.check_and_set(1000 - 255)
    assert not window.check_and_set(1000 - 255)


def test_four_lost_blocks_of_64_cost_no_frame():
    # A board that loses power skips what it had reserved; a late frame from before still counts.
    window = ReplayWindow()
    assert window.check_and_set(64)
    assert window.check_and_set(64 + 3 * 64)
    assert window.check_and_set(65)


def test_a_jump_forgets_what_left_the_window():
    window = ReplayWindow()
    window.check_and_set(5)
    assert window.check_and_set(0xFFFFFFFF)
    assert window.bitmap == 1
    assert not window.check_and_set(5)
    assert not window.check_and_set(6)


def test_a_jump_of_exactly_the_width():
    window = ReplayWindow()
    window.check_and_set(0)
    window.check_and_set(256)
    assert window.bitmap == 1
    assert not window.check_and_set(0)
    assert window.check_and_set(1)


def test_it_can_be_stored_and_loaded():
    window = ReplayWindow()
    for counter in (3, 1, 200):
        window.check_and_set(counter)
    assert window.bitmap < 1 << 256
    again = ReplayWindow(window.highest, window.bitmap)
    for counter in (3, 1, 200):
        assert not again.check_and_set(counter)
    assert again.check_and_set(2)


def test_asking_changes_nothing():
    window = ReplayWindow(7, 1)
    assert window.is_new(8)
    assert window.is_new(6)
    assert not window.is_new(7)
    assert (window.highest, window.bitmap) == (7, 1)


def test_a_narrow_window():
    window = ReplayWindow(width=1)
    assert window.check_and_set(5)
    assert not window.check_and_set(4)
    assert window.check_and_set(6)
    assert window.bitmap == 1
