"""NMEA as receivers send it, as wires damage it, and what of it becomes a position."""

from panic.nmea import MAX_LINE_BYTES, Nmea, parse
from panic.position import Position

# From the u-blox M8 protocol description and the NMEA 0183 examples everybody has.
RMC = b"GPRMC,083559.00,A,4717.11437,N,00833.91522,E,0.004,77.52,091202,,,A*57"
GGA = b"GPGGA,092725.00,4717.11399,N,00833.91590,E,1,08,1.01,499.6,M,48.0,M,,*5B"
GSA = b"GPGSA,A,3,23,29,07,08,09,18,26,28,,,,,1.94,1.18,1.54*0D"
CLASSIC = b"GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*47"


def line(text):
    """The text with its checksum."""
    found = 0
    for byte in text.encode():
        found ^= byte
    return (text + "*%02X" % found).encode()


def whole(body):
    return b"$" + body + b"\r\n"


def feed(data, size=None):
    nmea = Nmea()
    out = []
    size = size or len(data)
    for start in range(0, len(data), size):
        out += nmea.feed(data[start : start + size])
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
    position.take(parse(line("GPGGA,000000,0658.0,S,11025.0,E,6,04,1.0,0,M,0,M,,")), 0)
    assert position.current(0) == (-69666667, 1104166667, None, 0)
