"""NMEA 0183 from a GNSS receiver: RMC, GGA and GSA of any talker, in integers.

An ESP32's floats have 24 bits, which is metres at this longitude: positions are integers of 1e-7 degree.
Field numbers as in NMEA 0183 v4.11 and the u-blox M8 protocol description (sections RMC, GGA, GSA). GSV (satellites in
view) is passed over on purpose: there is no place in a frame for it, and what of it counts is in the fix or its
absence.

A sentence is a tuple: kind ("RMC", "GGA", "GSA"), valid (the receiver has a fix), lat_e7, lon_e7 (1e-7 degree),
hdop_x10 (HDOP times ten), estimated (dead reckoning: good for a position, but with no accuracy). None: it does not
say.
"""

# The standard says 82 with CR and LF; receivers with long GSA lines say more.
MAX_LINE_BYTES = 120


class Nmea:
    """feed(bytes) with whatever the UART gave; returns the sentences that became whole. Garbage is counted.

    bad: lines with a wrong checksum or a wrong field. long: lines that had no end within MAX_LINE_BYTES.
    """

    def __init__(self):
        self._line = bytearray(MAX_LINE_BYTES)
        self._used = 0
        self._in_line = False
        self.bad = 0
        self.long = 0

    def feed(self, data):
        """A list of sentences, mostly empty."""
        out = []
        for byte in data:
            if byte == 0x24:  # "$" begins a line, even inside one whose end was lost
                self._in_line = True
                self._used = 0
            elif not self._in_line:
                continue
            elif byte in (0x0D, 0x0A):
                self._in_line = False
                self._take(out)
            elif self._used == MAX_LINE_BYTES:
                self._in_line = False
                self.long += 1
            else:
                self._line[self._used] = byte
                self._used += 1
        return out

    def _take(self, out):
        try:
            sentence = parse(bytes(memoryview(self._line)[: self._used]))
        except ValueError:
            self.bad += 1
            return
        if sentence:
            out.append(sentence)


def parse(line):
    """The sentence of a line without "$" and line end; None for other sentences; ValueError when damaged."""
    star = len(line) - 3
    if star < 6 or line[star] != 0x2A:
        raise ValueError("no checksum")
    found = 0
    for i in range(star):
        found ^= line[i]
    try:
        text = line.decode()
    except UnicodeError:
        raise ValueError("not ASCII")
    if text[star + 1 :].upper() != "%02X" % found:
        raise ValueError("wrong checksum")
    fields = text[:star].split(",")
    # Two letters of talker (GP, GN, GL, GA, GB, ...), three of sentence; "P..." is a maker's own.
    kind = fields[0][2:]
    if len(fields[0]) != 5 or fields[0][0] == "P":
        return None
    if kind == "RMC":
        return _rmc(fields)
    if kind == "GGA":
        return _gga(fields)
    if kind == "GSA":
        return _gsa(fields)
    return None


def _rmc(fields):
    # 2 status, 3-6 position, 12 mode (from NMEA 2.3 on)
    _need(fields, 10)
    mode = fields[12] if len(fields) > 12 else "A"
    if fields[2] != "A" or mode in ("N", "M", "S"):
        return "RMC", False, None, None, None, False
    lat, lon = _position(fields, 3)
    return "RMC", True, lat, lon, None, mode == "E"


def _gga(fields):
    # 2-5 position, 6 quality (0 none, 6 estimated, 7 typed in, 8 simulated), 8 HDOP
    _need(fields, 9)
    if fields[6] in ("", "0", "7", "8"):
        return "GGA", False, None, None, None, False
    lat, lon = _position(fields, 2)
    return "GGA", True, lat, lon, _tenths(fields[8]), fields[6] == "6"


def _gsa(fields):
    # 2 fix (1 none, 2 2D, 3 3D), 16 HDOP
    _need(fields, 17)
    return "GSA", fields[2] in ("2", "3"), None, None, _tenths(fields[16]), False


def _need(fields, count):
    if len(fields) < count:
        raise ValueError("fields are missing")


def _position(fields, start):
    lat = _degrees(fields[start], 2, fields[start + 1], "N", "S", 90)
    lon = _degrees(fields[start + 2], 3, fields[start + 3], "E", "W", 180)
    return lat, lon


def _digits(text):
    # int() would take "-1", " 1" and "1_0" as well.
    for letter in text:
        if not "0" <= letter <= "9":
            raise ValueError("not a number")
    return int(text)


def _degrees(text, width, side, plus, minus, limit):
    """ddmm.mmmm or dddmm.mmmm as 1e-7 degree, rounded."""
    whole, _, part = text.partition(".")
    if len(whole) != width + 2 or side not in (plus, minus) or not side:
        raise ValueError("not a position")
    minutes_e7 = _digits(whole[width:]) * 10000000 + _digits((part + "0000000")[:7])
    if minutes_e7 >= 600000000:
        raise ValueError("more than 60 minutes")
    value = _digits(whole[:width]) * 10000000 + (minutes_e7 + 30) // 60
    if value > limit * 10000000:
        raise ValueError("outside the globe")
    return -value if side == minus else value


def _tenths(text):
    """A decimal number times ten, cut; None when the field is empty."""
    if not text:
        return None
    whole, _, part = text.partition(".")
    return _digits(whole or "0") * 10 + _digits((part + "0")[:1])
