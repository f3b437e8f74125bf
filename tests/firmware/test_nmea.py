"""NMEA as receivers send it, as wires damage it, and what of it becomes a position."""

from collections import namedtuple

from flash_double import Chance

from panic import nmea as reader
from panic.nmea import MAX_LINE_BYTES
from panic.position import FASTEST_M_S, PERSIST_MS, Position, metres
from panic.ticks import ticks_add

Sentence = namedtuple("Sentence", ("kind", "valid", "lat_e7", "lon_e7", "hdop_x10", "estimated"))

# From the u-blox M8 protocol description and the NMEA 0183 examples everybody has.
RMC = b"GPRMC,083559.00,A,4717.11437,N,00833.91522,E,0.004,77.52,091202,,,A*57"
GGA = b"GPGGA,092725.00,4717.11399,N,00833.91590,E,1,08,1.01,499.6,M,48.0,M,,*5B"
GSA = b"GPGSA,A,3,23,29,07,08,09,18,26,28,,,,,1.94,1.18,1.54*0D"
CLASSIC = b"GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*47"


def parse(body):
    found = reader.parse(body)
    return found and Sentence(*found)


def line(text):
    """The text with its checksum."""
    found = 0
    for byte in text.encode():
        found ^= byte
    return (text + "*%02X" % found).encode()


def whole(body):
    return b"$" + body + b"\r\n"


def feed(data, size=None):
    nmea = reader.Nmea()
    out = []
    size = size or len(data)
    for start in range(0, len(data), size):
        out += [Sentence(*found) for found in nmea.feed(data[start : start + size])]
    return nmea, out


def is_damaged(body):
    try:
        parse(body)
    except ValueError:
        return True
    return False


def test_the_three_sentences():
    rmc, gga, gsa = parse(RMC), parse(GGA), parse(GSA)
    assert (rmc.kind, rmc.valid, rmc.lat_e7, rmc.lon_e7) == ("RMC", True, 472852395, 85652537)
    assert (gga.kind, gga.valid, gga.lat_e7, gga.lon_e7) == ("GGA", True, 472852332, 85652650)
    assert gga.hdop_x10 == 10
    assert (gsa.kind, gsa.valid, gsa.hdop_x10) == ("GSA", True, 11)
    assert parse(CLASSIC).lat_e7 == 481173000


def test_south_and_west_are_negative():
    sentence = parse(line("GNRMC,000000.00,A,0658.00000,S,11025.20000,E,0,0,010126,,,A"))
    assert (sentence.lat_e7, sentence.lon_e7) == (-69666667, 1104200000)
    sentence = parse(line("GNGGA,000000,0000.0001,N,17959.9999,W,1,04,2.5,0,M,0,M,,"))
    assert (sentence.lat_e7, sentence.lon_e7) == (17, -1799999983)


def test_any_talker_but_no_makers_own():
    for talker in ("GP", "GN", "GL", "GA", "GB", "GQ", "BD", "QZ"):
        assert parse(line(talker + "GSA,A,1,,,,,,,,,,,,,99.99,99.99,99.99")).kind == "GSA"
    for text in (
        "PUBX,00,1,2,3,4,5,6,7,8,9,10,11,12,13",
        "GPVTG,,T,,M,0.0,N",
        "GPGSV,1,1,00",
        "GPTXT,01,01,02,hi",
    ):
        assert parse(line(text)) is None, text


def test_no_fix():
    assert not parse(line("GPRMC,000000.00,V,,,,,,,010126,,,N")).valid
    assert not parse(line("GPGGA,000000.00,,,,,0,00,99.99,,,,,,")).valid
    assert not parse(line("GPGSA,A,1,,,,,,,,,,,,,99.99,99.99,99.99")).valid
    # Typed in, simulated: no measurement.
    assert not parse(line("GPGGA,000000,0658.0,S,11025.0,E,7,04,1.0,0,M,0,M,,")).valid
    assert not parse(line("GPGGA,000000,0658.0,S,11025.0,E,8,04,1.0,0,M,0,M,,")).valid
    assert not parse(line("GPRMC,000000,A,0658.0,S,11025.0,E,0,0,010126,,,S")).valid


def test_every_damaged_byte_is_noticed():
    for body in (RMC, GGA, GSA):
        for at in range(len(body)):
            for bit in (1, 0x10, 0x80):
                changed = bytearray(body)
                changed[at] ^= bit
                if changed[-2:].upper() == body[-2:].upper() and at >= len(body) - 2:
                    continue  # "d" for "D": the same checksum
                assert is_damaged(bytes(changed)), (body, at, bit)


def test_nonsense_with_a_right_checksum_is_damaged():
    for text in (
        "GPRMC",
        "GPRMC,1",
        "GPRMC,083559.00,A,,,,,0,0,091202,,,A",
        "GPRMC,083559.00,A,4717.1,X,00833.9,E,0,0,091202,,,A",
        "GPRMC,083559.00,A,4760.0,N,00833.9,E,0,0,091202,,,A",
        "GPRMC,083559.00,A,9100.0,N,00833.9,E,0,0,091202,,,A",
        "GPRMC,083559.00,A,-717.1,N,00833.9,E,0,0,091202,,,A",
        "GPRMC,083559.00,A,4 17.1,N,00833.9,E,0,0,091202,,,A",
        "GPRMC,083559.00,A,417.1,N,00833.9,E,0,0,091202,,,A",
        "GPGGA,0,4717.1,N,00833.9,E,1,08,x,0,M,0,M,,",
        "GPGGA,0,4717.1x,N,00833.9,E,1,08,1,0,M,0,M,,",
        "GPGSA,A,3,23",
    ):
        assert is_damaged(line(text)), text
    for body in (b"", b"*", b"*00", b"GPRMC*", b"GPRMC*ZZ", b"\xff\xfe\xfd\xfc\xfb\xfa*02"):
        assert is_damaged(body), body


def test_lines_in_pieces_of_every_size():
    data = whole(RMC) + whole(GSA) + whole(GGA)
    for size in range(1, 80):
        nmea, out = feed(data, size)
        assert [sentence.kind for sentence in out] == ["RMC", "GSA", "GGA"], size
        assert (nmea.bad, nmea.long) == (0, 0)


def test_garbage_costs_only_the_line_it_hits():
    noise = bytes(range(256)).replace(b"$", b"")
    nmea, out = feed(noise + whole(RMC) + b"\x00\xff" * 300 + b"$GPRMC,08" + whole(GGA) + b"$,*\n$$$" + whole(GSA))
    assert [sentence.kind for sentence in out] == ["RMC", "GGA", "GSA"]
    assert nmea.bad == 1


def test_a_line_without_end_takes_no_memory():
    nmea, out = feed(b"$" + b"A" * 5000 + whole(RMC))
    assert [sentence.kind for sentence in out] == ["RMC"]
    assert nmea.long == 1
    longest = line("GPTXT," + "x" * (MAX_LINE_BYTES - 9))
    assert len(longest) == MAX_LINE_BYTES
    nmea, _ = feed(whole(longest))
    assert (nmea.long, nmea.bad) == (0, 0)


def test_a_position_has_an_age_and_an_accuracy():
    position = Position()
    assert position.current(0) is None
    assert not position.has_fix(0)
    position.take(parse(GSA), 1000)
    position.take(parse(RMC), 1000)
    assert position.current(1000) == (472852395, 85652537, 6, 0)
    position.take(parse(GGA), 1500)
    assert position.current(4600) == (472852332, 85652650, 5, 3)
    assert position.has_fix(4600)
    assert not position.has_fix(11500)


def test_a_lost_sky_takes_nothing_away():
    position = Position()
    position.take(parse(GGA), 0)
    for now in (1000, 2000, 60000):
        position.take(parse(line("GPRMC,000000.00,V,,,,,,,010126,,,N")), now)
    assert position.current(60000) == (472852332, 85652650, 5, 60)
    assert not position.has_fix(60000)


def test_unknown_accuracy_is_said_to_be_unknown():
    position = Position()
    position.take(parse(RMC), 0)
    assert position.current(0)[2] is None
    position = Position()
    position.take(parse(line("GPGGA,000000,0658.0,S,11025.0,E,6,04,1.0,0,M,0,M,,")), 0)
    assert position.current(0) == (-69666667, 1104166667, None, 0)


# Plausibility

HERE = (-69904000, 1104229000)


def fix(lat, lon, hdop_x10=10):
    return "GGA", True, lat, lon, hdop_x10, False


def test_metres():
    assert metres(0, 0, 0, 0) == 0
    assert 11100 < metres(0, 0, 1000000, 0) < 11160
    assert 5500 < metres(600000000, 0, 600000000, 1000000) < 5600
    assert metres(0, 1799999999, 0, -1799999999) == 0, "over the date line"
    assert metres(-69904000, 1104229000, -69724000, 1104229000) in (2003, 2004)


def test_a_jump_is_not_believed_until_it_persists():
    for start in (0, (1 << 30) - 30000):  # over the wrap of ticks
        position = Position()
        position.take(fix(*HERE), start)
        there = (HERE[0] + 180000, HERE[1])
        now = start
        for second in range(1, PERSIST_MS // 1000 + 1):
            now = ticks_add(start, 1000 * second)
            position.take(fix(*there), now)
            assert position.current(now)[:2] == HERE
            assert 1990 < position.jump_m < 2010
            assert position.fixes == 1
        position.take(fix(*there), ticks_add(now, 1000))
        assert position.current(now)[:2] == there
        assert position.jump_m == 0


def test_what_comes_back_was_a_reflection():
    position = Position()
    position.take(fix(*HERE), 0)
    position.take(fix(HERE[0] + 180000, HERE[1]), 1000)
    assert position.jump_m
    position.take(fix(HERE[0] + 10, HERE[1]), 2000)
    assert position.jump_m == 0
    position.take(fix(HERE[0] + 10, HERE[1]), 58000)
    position.take(fix(HERE[0] + 180000, HERE[1]), 59000)
    for now in range(60000, 118000, 1000):
        position.take(fix(HERE[0] + 180000, HERE[1]), now)
    assert position.current(118000)[0] == HERE[0] + 10, "the minute begins anew"


def test_whoever_travels_is_believed():
    # An express train, and a tunnel of ten minutes.
    position = Position()
    lat = HERE[0]
    for second in range(600):
        lat += (FASTEST_M_S - 2) * 90
        if not 100 < second < 700:
            position.take(fix(lat, HERE[1], 30), second * 1000)
        assert position.jump_m == 0
    position.take(fix(lat, HERE[1]), 600000)
    assert position.current(600000)[0] == lat


def test_a_fixed_button_says_that_it_was_moved():
    position = Position((HERE[0], HERE[1], 200))
    for second in range(300):
        position.take(fix(HERE[0] + 18000, HERE[1]), second * 1000)  # 200 m off, and 5 m of accuracy
    assert position.moved_m == 0
    now = 300000
    while now < 300000 + PERSIST_MS:
        position.take(fix(HERE[0] + 20000, HERE[1]), now)
        assert position.moved_m == 0
        now += 1000
    position.take(fix(HERE[0] + 20000, HERE[1]), now)
    assert position.moved_m in (222, 223)
    position.take(fix(HERE[0], HERE[1]), now + 1000)
    assert position.moved_m == 0


def test_silence_of_the_receiver_is_known():
    position = Position()
    assert position.silent_s(5000) is None
    position.take(("GSA", False, None, None, None, False), 1000)
    assert position.silent_s(63000) == 62


def test_a_million_bytes_of_noise():
    import gc
    import sys

    chance = Chance(7)
    nmea, position = reader.Nmea(), Position()
    good = whole(RMC) + whole(GSA) + whole(GGA) + whole(line("GPGSV,1,1,00"))
    noise = bytearray(good * 4)

    def feed_noise(rounds):
        for _ in range(rounds):
            for _ in range(6):
                drawn = chance()
                noise[drawn % len(noise)] = drawn >> 16 & 0xFF
            if chance() % 8 == 0:
                noise[:] = good * 4
            for sentence in nmea.feed(noise):
                position.take(sentence, 0)

    feed_noise(20)
    gc.collect()
    before = gc.mem_alloc() if hasattr(gc, "mem_alloc") else 0
    rounds = 1000000 // len(noise) + 1 if sys.implementation.name == "micropython" else 100
    feed_noise(rounds)
    gc.collect()
    assert nmea.bad > 100
    if hasattr(gc, "mem_alloc"):
        assert gc.mem_alloc() <= before + 64
