"""Counters and activation numbers never come back, whenever the power goes and whichever slot is lost."""

from flash_double import Chance, FlashDouble, PowerCut, quiet

from panic.counter import BLOCK, SLOTS, Counter


def boot(flash, seed=1, highest=0):
    return Counter(flash, Chance(seed), highest, quiet)


def test_counters_count_and_skip_what_was_reserved():
    flash = FlashDouble()
    counter = boot(flash)
    epoch = counter.epoch
    assert [counter.take_counter() for _ in range(70)] == list(range(70))
    again = boot(flash, seed=2)
    assert again.epoch == epoch
    assert again.take_counter() == 2 * BLOCK


def test_activations_count_over_reboots_without_a_gap():
    flash = FlashDouble()
    first = boot(flash).take_activation()
    assert first & 0xFFFF == 0
    assert first > 0
    assert [boot(flash, seed).take_activation() for seed in (2, 3, 4)] == [first + 1, first + 2, first + 3]


def test_most_frames_cost_no_write():
    flash = FlashDouble()
    counter = boot(flash)
    counter.take_counter()
    spent = flash.spent
    for _ in range(BLOCK - 1):
        counter.take_counter()
    assert flash.spent == spent


def test_a_fresh_epoch_and_far_activations_when_both_slots_are_lost():
    flash = FlashDouble()
    counter = boot(flash)
    old = counter.epoch
    counter.take_counter()
    activation = counter.take_activation()
    for path in SLOTS:
        flash.contents[path] = b"\xff" * 24
    again = boot(flash, seed=99, highest=activation)
    assert again.epoch != old
    assert again.take_counter() == 0
    assert again.take_activation() > activation


def test_activations_stay_above_the_journal():
    for highest in (5, 0xFFFF, 0x12345678, 0xFFEF0000, 0xFFFFFFF0):
        for seed in (1, 2, 3):
            number = boot(FlashDouble(), seed, highest).take_activation()
            assert highest < number <= 0xFFFFFFFF, number


def life(flash, seed, used, activations):
    """One life of a board, up to its power cut."""
    try:
        counter = boot(flash, seed, max(activations) if activations else 0)
        for i in range(2 * BLOCK + 10):
            number = counter.take_counter()
            key = (counter.epoch, number)
            assert key not in used, "frame %r came back" % (key,)
            used.add(key)
            if i % 40 == 20:
                number = counter.take_activation()
                assert number not in activations, "activation %d came back" % number
                activations.add(number)
    except PowerCut:
        return True
    return False


def test_cut_at_every_byte():
    start = FlashDouble()
    used, activations = set(), set()
    life(start, 1, used, activations)
    cut = True
    cuts = 0
    while cut:
        flash = FlashDouble(start.contents, budget=cuts)
        now_used, now_activations = set(used), set(activations)
        cut = life(flash, 2, now_used, now_activations)
        # Twice more, with the power good: the numbers of all three lives are different.
        flash = FlashDouble(flash.contents)
        assert not life(flash, 3, now_used, now_activations)
        assert len({epoch for epoch, _ in now_used}) == 1, "a cut must not cost the epoch"
        assert not life(flash, 4, now_used, now_activations)
        cuts += 1
    assert cuts > 100, cuts


def test_a_first_boot_cut_at_every_byte():
    for budget in range(60):
        used, activations = set(), set()
        flash = FlashDouble(budget=budget)
        life(flash, 1, used, activations)
        life(FlashDouble(flash.contents), 2, used, activations)


def test_either_slot_rots_after_it_was_written():
    for path in SLOTS:
        for at in (0, 7, 23):
            flash = FlashDouble()
            used, activations = set(), set()
            life(flash, 1, used, activations)
            data = bytearray(flash.contents[path])
            data[at] ^= 0x10
            flash.contents[path] = bytes(data)
            assert not life(flash, 2, used, activations)


def test_a_flash_that_takes_nothing_stops_no_frame_and_repeats_none():
    flash = FlashDouble()
    used, activations = set(), set()
    life(flash, 1, used, activations)
    flash.full = True
    assert not life(flash, 2, used, activations)
    assert not life(flash, 3, used, activations)
    flash.full = False
    assert not life(flash, 4, used, activations)


def test_only_frames_of_ours_can_be_answered():
    counter = boot(FlashDouble())
    number = counter.take_counter()
    assert counter.used(counter.epoch, number)
    assert not counter.used(counter.epoch, number + 1)
    assert not counter.used(counter.epoch ^ 1, number)


def test_the_last_counter_begins_a_new_epoch():
    counter = boot(FlashDouble())
    counter.take_counter()
    epoch = counter.epoch
    counter._next = counter._limit = 0xFFFFFFFF - 10
    assert counter.take_counter() == 0
    assert counter.epoch != epoch
