"""Troubles: told once when they begin and once when they end, until a receipt; and a crash with its last lines."""

from flash_double import Chance, FlashDouble
from test_alarm import DEVICE, ROOT, BoardDouble, boot, status

from panic.crash import PATH, keep
from panic.notices import Notices
from panic_wire import frames
from panic_wire.frames import CANCEL, RECEIPT, REPORT, TROUBLE, unpack_report, unpack_trouble
from panic_wire.keys import uplink_key
from panic_wire.seal import open_frame


def told(device, now):
    """[(Header, Trouble or Report)] that leave now."""
    out = []
    frame = device.other_frame(now)
    while frame:
        header, body = open_frame(uplink_key(ROOT, DEVICE), frame)
        out.append((header, unpack_trouble(body) if header.type == TROUBLE else unpack_report(body)))
        frame = device.other_frame(now)
    return out


def kinds(device, now):
    return [(trouble.kind, trouble.ended) for _, trouble in told(device, now)]


def heard(device, header, now):
    device.take_frame(status(header, 0, RECEIPT), now)


def test_told_at_its_beginning_and_its_end_and_with_each_heartbeat_until_the_receipt():
    device = boot(FlashDouble())
    board = BoardDouble()
    board.mv = 3499
    device.heartbeat_frame(board, 1000)
    ((_, trouble),) = told(device, 3000)
    assert (trouble.kind, trouble.ended, trouble.age_s, trouble.value) == (frames.BATTERY_LOW, False, 2, 3499)
    assert told(device, 4000) == []
    device.heartbeat_frame(board, 300000)
    ((header, trouble),) = told(device, 300000)
    assert trouble.age_s == 299
    heard(device, header, 300100)
    board.mv = 3599
    device.heartbeat_frame(board, 600000)
    assert told(device, 600000) == [], "not over yet, and not told again"
    board.mv = 3600
    device.heartbeat_frame(board, 900000)
    ((header, trouble),) = told(device, 905000)
    assert (trouble.ended, trouble.age_s) == (True, 5)
    device.heartbeat_frame(board, 1200000)
    ((header, _),) = told(device, 1200000)
    heard(device, header, 1200100)
    device.heartbeat_frame(board, 1500000)
    assert told(device, 1500000) == []
    assert not device.notices.count(TROUBLE)


def test_over_before_its_beginning_was_heard_both_are_told():
    device = boot(FlashDouble())
    device.trouble(frames.BUTTON_STUCK, True, 30, 0)
    (first,) = told(device, 0)
    device.trouble(frames.BUTTON_STUCK, False, 0, 5000)
    assert told(device, 5000) == []
    heard(device, first[0], 6000)
    assert kinds(device, 6000) == [(frames.BUTTON_STUCK, True)]
    device.trouble(frames.BUTTON_STUCK, True, 30, 7000)
    assert kinds(device, 7000) == [], "its end was not heard: it goes on"
    device.trouble(frames.BUTTON_STUCK, False, 0, 8000)
    assert kinds(device, 8000) == [(frames.BUTTON_STUCK, True)]


def test_each_is_found():
    class Gps:
        pass

    flash = FlashDouble()
    device = boot(flash)
    board = BoardDouble()
    board.gps = Gps()
    board.lost = 3
    board.is_open = lambda: True
    for number in range(3):
        device.watched = None
        header, _ = open_frame(uplink_key(ROOT, DEVICE), device.heartbeat_frame(board, 61000 + number))
        heard(device, header, 61000 + number)
    flash.full = True
    device.activate(62000, 62000)
    device.watched = None
    device.heartbeat_frame(board, 62000)
    found = {kind for kind, _ in kinds(device, 62000)}
    assert found == {
        frames.GPS_SILENT,
        frames.EDGES_LOST,
        frames.TAMPER,
        frames.CLOCK_UNKNOWN,
        frames.FLASH_FAILING,
    }
    assert open_frame(uplink_key(ROOT, DEVICE), device.heartbeat_frame(board, 63000))[1][13] == 3
    device.take_sentence(("GGA", True, -70000000, 1104000000, 10, False), 64000)
    device.take_sentence(("GGA", True, -71000000, 1104000000, 10, False), 65000)
    assert (frames.FIX_JUMPED, False) in kinds(device, 65000)
    device.watched = None
    device.heartbeat_frame(board, 66000)
    assert device.notices.find(TROUBLE, frames.GPS_SILENT)[4] is not None, "it has ended, once its beginning is told"


def crashed(flash):
    try:
        {}["a key that is not there, with a long name, " + "x" * 400]
    except KeyError as error:
        keep(boot(flash), "sender", error)


def test_a_crash_is_told_after_the_start_part_by_part_and_then_goes():
    flash = FlashDouble()
    crashed(flash)
    assert len(flash.contents[PATH]) <= 360
    device = boot(flash, seed=2)
    device.rare("crash", "resume", 3, 1000)
    sent = told(device, 1000)
    assert [header.type for header, _ in sent] == [TROUBLE] + [REPORT] * 4
    trouble = sent[0][1]
    assert (trouble.kind, trouble.value) == (frames.CRASHED, 3)
    text = b"".join([report.content for _, report in sent[1:]])
    assert text == flash.contents[PATH]
    assert text.startswith(b"task sender\n")
    assert text.endswith(b"xx") or b"xxx" in text
    assert [report.code for _, report in sent[1:]] == [0, 1, 2, 3]
    for header, _ in sent[:-1]:
        heard(device, header, 2000)
    assert PATH in flash.contents
    device.heartbeat_frame(BoardDouble(), 3000)
    (last,) = told(device, 3000)
    heard(device, last[0], 3100)
    assert PATH not in flash.contents
    assert kinds(device, 4000) == [(frames.CRASHED, True)]
    again = boot(flash, seed=3)
    again.rare("crash", "resume", 1, 0)
    assert told(again, 0) == []


def test_a_cancel_goes_before_the_rest_and_what_is_told_is_bounded():
    notices = Notices(Chance(1))
    for kind in range(20):
        notices.begin(TROUBLE, kind % 11, 0, 0)
    assert notices.count(TROUBLE) == 11
    notices.begin(CANCEL, 7, 0, 0)
    entry = notices.due(0)
    assert entry[0] == CANCEL
    for number in range(9):
        notices.sent(entry, (1, number), 0)
    assert entry[8] == [(1, number) for number in range(5, 9)]
    notices.touch(1000)
    assert notices.receipted((2, 8)) is None, "another epoch"
    assert notices.receipted((1, 8)) is entry
    notices.drop(TROUBLE, 3)
    assert notices.count(TROUBLE) == 10
