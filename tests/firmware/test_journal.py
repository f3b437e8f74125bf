"""No alarm that was pressed is lost, at whatever byte the power goes; only a receipt takes one off."""

from flash_double import FlashDouble, PowerCut, quiet

from panic.journal import DIRECTORY, Entry, Journal, pack, unpack

HERE = (-70000000, 1104000000, 12, 3)


def boot(flash, capacity=64):
    return Journal(flash, quiet, capacity)


def numbers(journal, receipted):
    return [entry.activation for entry in journal.entries() if entry.receipted == receipted]


def test_an_alarm_is_on_flash_when_add_returns():
    flash = FlashDouble()
    boot(flash).add(Entry(7, position=HERE))
    entries = boot(flash).entries()
    assert len(entries) == 1
    assert entries[0].activation == 7
    assert entries[0].position == HERE
    assert not entries[0].receipted


def test_records_keep_what_they_are_given():
    for position in (None, HERE, (0, 0, None, None), (1, -1, 0xFFFE, 0)):
        entry = unpack(pack(Entry(9, 2, position)), 9, False)
        assert (entry.activation, entry.gesture, entry.position) == (9, 2, position)


def test_a_receipt_takes_it_off_the_list_and_closed_removes_it():
    flash = FlashDouble()
    journal = boot(flash)
    journal.add(Entry(7))
    journal.add(Entry(8))
    journal.receipt(7)
    journal = boot(flash)
    assert numbers(journal, False) == [8]
    assert numbers(journal, True) == [7]
    journal.close(7)
    journal.receipt(7)
    assert [entry.activation for entry in boot(flash).entries()] == [8]


def life(flash, done):
    """One life: three alarms, two receipts, one closed. `done` gets each step that returned."""
    try:
        journal = boot(flash)
        for number in (101, 102, 103):
            done.append(("begun", number))
            journal.add(Entry(number, position=HERE))
            done.append(("added", number))
        for step, number in (("receipt", 101), ("receipt", 102), ("close", 101)):
            done.append(("before-" + step, number))
            getattr(journal, step)(number)
            done.append((step, number))
    except PowerCut:
        return True
    return False


def test_cut_at_every_byte():
    cuts = 0
    cut = True
    while cut:
        flash = FlashDouble({DIRECTORY + "/u00000005": pack(Entry(5, position=HERE))}, budget=cuts)
        done = []
        cut = life(flash, done)
        entries = boot(FlashDouble(flash.contents)).entries()
        found = {entry.activation: entry for entry in entries}
        assert not found[5].receipted
        assert found[5].position == HERE
        for number in (101, 102, 103):
            whole = ("added", number) in done
            if whole and ("before-close", number) not in done:
                assert number in found, "alarm %d was lost at byte %d" % (number, cuts)
                assert found[number].position == HERE
            if whole and ("before-receipt", number) not in done:
                assert not found[number].receipted, "nobody receipted %d" % number
            if ("begun", number) not in done:
                assert number not in found, "an alarm that nobody pressed"
        cuts += 1
    assert cuts > 80, cuts


def test_a_torn_record_still_is_an_alarm():
    whole = pack(Entry(0x2A, position=HERE))
    for length in range(len(whole)):
        flash = FlashDouble({DIRECTORY + "/u0000002a": whole[:length]})
        entry = boot(flash).entries()[0]
        assert (entry.activation, entry.position, entry.receipted) == (0x2A, None, False)
    for at in range(len(whole)):
        changed = bytearray(whole)
        changed[at] ^= 4
        entry = boot(FlashDouble({DIRECTORY + "/u0000002a": bytes(changed)})).entries()[0]
        assert (entry.activation, entry.position) == (0x2A, None)


def test_both_names_after_a_cut_count_as_unreceipted():
    record = pack(Entry(1))
    for order in (("u", "r"), ("r", "u")):
        flash = FlashDouble()
        for kind in order:
            flash.contents[DIRECTORY + "/" + kind + "00000001"] = record
        journal = boot(flash)
        assert numbers(journal, False) == [1]
        journal.receipt(1)
        journal.close(1)
        assert flash.contents == {}


def test_other_files_are_left_alone():
    flash = FlashDouble({DIRECTORY + "/notes.txt": b"x", DIRECTORY + "/u0000000G": b"", DIRECTORY + "/u-000001": b""})
    journal = boot(flash)
    assert journal.entries() == []
    assert journal.highest() == 0
    assert len(flash.contents) == 3


def test_full_of_unreceipted_alarms_takes_no_more_and_erases_none():
    flash = FlashDouble()
    journal = boot(flash, capacity=4)
    for number in range(1, 5):
        assert not journal.is_full()
        journal.add(Entry(number))
    assert journal.is_full()
    try:
        journal.add(Entry(5))
        raise AssertionError("it took one more")
    except ValueError:
        pass
    assert numbers(boot(flash), False) == [1, 2, 3, 4]


def test_the_oldest_receipted_alarm_gives_way():
    flash = FlashDouble()
    journal = boot(flash, capacity=3)
    for number in (1, 2, 3):
        journal.add(Entry(number))
    journal.receipt(3)
    journal.receipt(2)
    assert not journal.is_full()
    assert journal.add(Entry(4)) == 2
    assert numbers(boot(flash), False) == [1, 4]
    assert numbers(boot(flash), True) == [3]


def test_highest():
    flash = FlashDouble()
    journal = boot(flash)
    journal.add(Entry(0xFFFF0000))
    journal.add(Entry(3))
    assert boot(flash).highest() == 0xFFFF0000
