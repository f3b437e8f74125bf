# What a base station remembers, what it sends and when, and its line; without radio, chip or asyncio.
from base.answers import HOLD_MS, KEPT_MS, TURN_MS, Answers
from base.heard import AWAY_MS, FOLDER, MOST, MOST_OF_ONE, Heard
from panic_wire import base_line as line
from panic_wire.base_line import HELD_AT_LEAST

FRAME = b"\x11\0"


class Flash:
    """panic.files.Files in memory. broken: takes no more."""

    def __init__(self):
        self.files = {}
        self.broken = False

    def read(self, path):
        return self.files.get(path)

    def write(self, path, data):
        if self.broken:
            raise OSError(28)
        self.files[path] = bytes(data)

    def remove(self, path):
        self.files.pop(path, None)

    def names(self, folder):
        return [path.rsplit("/", 1)[1] for path in self.files if path.startswith(folder + "/")]

    def make_directory(self, folder):
        pass


def frame(device, number=0, kind=1):
    return bytes((0x10 | kind, 0)) + device.to_bytes(4, "big") + bytes(8) + bytes((number,)) * 31


def heard(flash=None, now=0):
    return Heard(flash or Flash(), 9, now, lambda text: None)


def seqs(of, now):
    found = []
    entry = of.due(now)
    while entry:
        found.append(entry[0])
        entry = of.due(now)
    return found


def test_a_frame_is_said_again_until_it_is_safe():
    one = heard()
    assert one.due(0) is None and one.wait_ms(0) is None
    one.add(frame(1), -90, 5, 0)
    assert seqs(one, 0) == [1]
    assert seqs(one, 100) == [] and one.wait_ms(100) == 20
    said = [now for now in range(110, 120000, 10) if seqs(one, now) == [1]]
    assert said[:4] == [120, 240, 360, 480]
    assert said[-1] - said[-2] == said[-2] - said[-3] == 20000
    one.hurry()
    assert seqs(one, 120000) == [1]
    one.took(9, 120001)
    assert len(one) == 1
    one.took(1, 120002)
    assert len(one) == 0 and one.due(999999) is None


def test_it_says_how_long_it_had_it_and_how_well_it_heard_it():
    one = heard()
    one.add(frame(1), -200, 300, 1000)
    entry = one.due(1000)
    first, later = one.payload(entry, 1000), one.payload(entry, 61000)
    held = [int.from_bytes(each[4:8], "big") for each in (first, later)]
    assert 300 < held[0] < 320 and held[1] - held[0] == 60000  # its airtime counts, too
    assert first[8:11] == bytes((128, 127, 0)) and first[11:] == frame(1)


def test_of_one_device_the_newest_stay_and_no_device_takes_all_the_room():
    one = heard()
    for number in range(MOST_OF_ONE + 3):
        one.add(frame(7, number), -90, 5, 0)
    kept = [one.payload(entry, 0)[-1] for entry in one._entries]
    assert kept == [3, 4, 5, 6] and one.lost == 0
    for device in range(MOST):
        one.add(frame(device + 100, kind=5), -90, 5, 0)
    assert len(one) == MOST and one.lost == 4
    one.add(frame(5000, kind=1), -90, 5, 0)
    # A heartbeat made room for it, no alarm did.
    assert [entry for entry in one._entries if entry[1] == frame(7, 6)] and one.lost == 5


def test_what_the_gateway_does_not_take_is_on_flash_and_comes_back():
    flash = Flash()
    one = heard(flash)
    one.add(frame(1, 1), -90, 5, 0)
    one.keep(AWAY_MS - 1)
    assert not flash.files
    one.keep(AWAY_MS)
    assert len(flash.files) == 1
    flash.files[FOLDER + "/00000077"] = b"torn"
    flash.files[FOLDER + "/none"] = b"x" * 40
    two = heard(flash, 50)
    assert len(two) == 1 and FOLDER + "/00000077" not in flash.files
    entry = two.due(50)
    payload = two.payload(entry, 60)
    assert payload[10] == HELD_AT_LEAST and payload[11:] == frame(1, 1)
    assert payload[8:10] == bytes((256 - 90, 5))
    two.add(frame(2, 2), -90, 5, 70)
    assert two._entries[-1][0] == 2
    two.took(1, 80)
    assert not flash.files


def test_a_flash_that_fails_costs_nothing_but_the_copy():
    flash = Flash()
    flash.broken = True
    said = []
    one = Heard(flash, 9, 0, said.append)
    one.add(frame(1), -90, 5, 0)
    one.keep(AWAY_MS)
    assert len(said) == 1 and len(one) == 1
    one.keep(AWAY_MS * 2)
    assert len(said) == 1


def status(number):
    return number.to_bytes(2, "big") + b"\x21" + bytes(6)


def test_statuses_of_one_moment_leave_in_one_packet():
    one = Answers(9)
    assert one.wait_ms(0) is None and one.take(0, 0) is None
    for number in range(9):
        assert one.add(status(number), 0, 0)
    assert one.add(status(3), 0, 0)  # the same once more
    assert one.wait_ms(0) == TURN_MS
    packet = one.take(TURN_MS, 0)
    assert packet == b"\x1b" + b"".join([status(number) for number in range(7)])
    assert one.wait_ms(TURN_MS) == TURN_MS
    assert one.take(2 * TURN_MS, 0) == b"\x1b" + status(7) + status(8)
    assert one.wait_ms(50) is None


def test_what_does_not_fit_is_said_and_a_whole_frame_goes_by_itself():
    one = Answers(9)
    assert one.fits(bytes(66)) and not one.fits(bytes(118))
    assert Answers(7).fits(bytes(118))
    assert one.add(bytes(26), 0, 0)
    assert one.take(TURN_MS, 0) == bytes(26)


def test_once_a_tenth_of_the_hour_is_used_many_wait_for_a_full_packet_and_few_do_not():
    one = Answers(9)
    one.ledger.sent(0, 3700)
    assert one.add(status(1), 0, 1) and one.wait_ms(0) == TURN_MS  # the first of a while
    assert one.take(TURN_MS, 1)
    for number in range(2, 8):
        one.add(status(number), 100 * number, 1)
        one.take(100 * number + TURN_MS, 1)
    assert one.add(status(8), 800, 1) and one.wait_ms(800) == HOLD_MS
    for number in range(9, 15):
        one.add(status(number), 900, 1)
    assert one.wait_ms(900) == TURN_MS  # it is full


def test_without_airtime_it_waits_and_what_is_old_is_dropped():
    one = Answers(9)
    one.ledger.sent(0, 36000)
    one.add(status(1), 0, 10)
    assert one.take(TURN_MS, 10) is None and one.wait_ms(TURN_MS) == 10000
    one.add(status(2), 30000, 40)
    assert one.take(KEPT_MS + 1, 3700) == b"\x1b" + status(2)
    assert one.dropped == 1
    for number in range(200):
        taken = one.add(status(number), KEPT_MS + 2, 3700)
    assert not taken


def test_a_line_is_read_back_and_any_changed_byte_is_seen():
    payload = bytes(range(70))
    text = line.pack(line.UP, payload)
    assert text[:1] == line.MARK and text[-1:] == b"\n" and len(text) < line.MOST_LINE_BYTES
    assert line.unpack(text) == (line.UP, payload)
    assert line.unpack(text.strip() + b"\r\n") == (line.UP, payload)
    for at in range(len(text) - 1):
        changed = bytearray(text)
        changed[at] = ord("A") if changed[at] != ord("A") else ord("B")
        found = line.unpack(bytes(changed))
        assert found is None or found == (line.UP, payload), at  # base64's last letter has bits that mean nothing
    assert line.unpack(b"sigap: a line of text") is None and line.unpack(b"~") is None and line.unpack(b"") is None
    other = bytes((0x21,)) + b"x"
    assert line.unpack(line.MARK + other) is None


def test_after_noise_the_next_line_begins_anew():
    one = line.Lines()
    good = line.pack(line.BEAT, b"abc")
    assert one.feed(good[:5]) == []
    assert [line.unpack(each) for each in one.feed(good[5:] + b"\x00\xff" + good)] == [(line.BEAT, b"abc"), None]
    assert [line.unpack(each) for each in one.feed(good)] == [(line.BEAT, b"abc")]
    assert one.feed(b"x" * 600) == [] and one.feed(b"x" * 600) == []
    assert [line.unpack(each) for each in one.feed(b"tail\n" + good)] == [(line.BEAT, b"abc")]
