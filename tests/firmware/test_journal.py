"""No alarm that was pressed is lost, at whatever byte the power goes; only a receipt takes one off."""

from flash_double import FlashDouble, PowerCut, quiet

from panic.journal import CAPACITY, DIRECTORY, Journal, pack, unpack

HERE = (-70000000, 1104000000, 12, 3)


def boot(flash):
    return Journal(flash, quiet)


def test_an_alarm_is_on_flash_when_add_returns():
    flash = FlashDouble()
    boot(flash).add(7, 1, HERE)
    journal = boot(flash)
    assert (journal.unreceipted, journal.receipted) == ([7], [])
    assert journal.read(7) == (1, HERE)


def test_records_keep_what_they_are_given():
    for position in (None, HERE, (0, 0, None, None), (1, -1, 0xFFFE, 0)):
        assert unpack(pack(9, 2, position), 9) == (2, position)


def test_a_receipt_takes_it_off_the_list_and_closed_removes_it():
    flash = FlashDouble()
    journal = boot(flash)
    journal.add(7)
    journal.add(8)
    journal.receipt(7)
    journal = boot(flash)
    assert (journal.unreceipted, journal.receipted) == ([8], [7])
    journal.close(7)
    journal.receipt(7)
    journal = boot(flash)
    assert (journal.unreceipted, journal.receipted) == ([8], [])


def life(flash, done):
    """One life: three alarms, two receipts, one closed. `done` gets each step that returned."""
    try:
        journal = boot(flash)
        for number in (101, 102, 103):
            done.append(("begun", number))
            journal.add(number, 1, HERE)
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
        flash = FlashDouble({DIRECTORY + "/u00000005": pack(5, 1, HERE)}, budget=cuts)
        done = []
        cut = life(flash, done)
        journal = boot(FlashDouble(flash.contents))
        found = journal.unreceipted + journal.receipted
        assert 5 in journal.unreceipted
        assert journal.read(5) == (1, HERE)
        for number in (101, 102, 103):
            whole = ("added", number) in done
            if whole and ("before-close", number) not in done:
                assert number in found, "alarm %d was lost at byte %d" % (number, cuts)
                assert journal.read(number) == (1, HERE)
            if whole and ("before-receipt", number) not in done:
                assert number in journal.unreceipted, "nobody receipted %d" % number
            if ("begun", number) not in done:
                assert number not in found, "an alarm that nobody pressed"
        cuts += 1
    assert cuts > 80, cuts


def test_a_torn_record_still_is_an_alarm():
    whole = pack(0x2A, 1, HERE)
    for length in range(len(whole)):
        flash = FlashDouble({DIRECTORY + "/u0000002a": whole[:length]})
        journal = boot(flash)
        assert (journal.unreceipted, journal.read(0x2A)) == ([0x2A], (1, None))
    for at in range(len(whole)):
        changed = bytearray(whole)
        changed[at] ^= 4
        journal = boot(FlashDouble({DIRECTORY + "/u0000002a": bytes(changed)}))
        assert (journal.unreceipted, journal.read(0x2A)) == ([0x2A], (1, None))


def test_both_names_after_a_cut_count_as_unreceipted():
    record = pack(1, 1, None)
    for order in (("u", "r"), ("r", "u")):
        flash = FlashDouble()
        for kind in order:
            flash.contents[DIRECTORY + "/" + kind + "00000001"] = record
        journal = boot(flash)
        assert (journal.unreceipted, journal.receipted) == ([1], [])
        journal.receipt(1)
        journal.close(1)
        assert flash.contents == {}


def test_other_files_are_left_alone():
    flash = FlashDouble({DIRECTORY + "/notes.txt": b"x", DIRECTORY + "/u0000000G": b"", DIRECTORY + "/u-000001": b""})
    journal = boot(flash)
    assert (journal.unreceipted, journal.receipted) == ([], [])
    assert journal.highest() == 0
    assert len(flash.contents) == 3


def test_full_of_unreceipted_alarms_takes_no_more_and_erases_none():
    flash = FlashDouble()
    journal = boot(flash)
    for number in range(1, CAPACITY + 1):
        assert not journal.is_full()
        journal.add(number)
    assert journal.is_full()
    try:
        journal.add(CAPACITY + 1)
        raise AssertionError("it took one more")
    except ValueError:
        pass
    assert boot(flash).unreceipted == list(range(1, CAPACITY + 1))


def test_the_oldest_receipted_alarm_gives_way():
    flash = FlashDouble()
    journal = boot(flash)
    for number in range(1, CAPACITY + 1):
        journal.add(number)
    journal.receipt(3)
    journal.receipt(2)
    assert not journal.is_full()
    assert journal.add(CAPACITY + 1) == 2
    journal = boot(flash)
    assert journal.unreceipted == [1] + list(range(4, CAPACITY + 2))  # noqa: RUF005
    assert journal.receipted == [3]


def test_highest():
    flash = FlashDouble()
    journal = boot(flash)
    journal.add(0xFFFF0000)
    journal.add(3)
    assert boot(flash).highest() == 0xFFFF0000
