"""Commands from the gateway (CONTRACT.md, section 2). Loaded when one comes, then unloaded.

/state/c keeps the greatest (epoch, counter) that was done, and how it went; it is written before anything is done. So a
recorded command does nothing, and one that comes again is answered again.
"""

import binascii
import struct

from panic.ticks import ticks_diff
from panic_wire.bodies import (
    ANSWER,
    DONE,
    LOCATE,
    LOCATION,
    REFUSED,
    RESTART,
    SET,
    SET_TIME,
    TEST_MODE_OFF,
    TEST_MODE_ON,
    UNKNOWN,
    pack_position,
    pack_report,
    unpack_command,
    unpack_time,
)

PATH = "/state/c"
BEGUN = 255
FRESH_MS = 10000
_MARK = ">4sIIB"
_MAGIC = b"SGk1"


def obey(device, header, body, now):
    """Do it, unless it was done; device.answer is the body to send then."""
    files = device.files
    code, content = unpack_command(body)
    if code == SET_TIME:
        _set_time(device, content, now)
        return
    mark = (header.epoch, header.counter)
    kept = _read(files)
    if kept and mark < kept[:2]:
        device.refuse("an old command")
        return
    if kept and mark == kept[:2]:
        if device.answer is None or struct.unpack(">I", device.answer[2:6])[0] != header.counter:
            done = kept[2] != BEGUN
            text = b"done before" if done else b"cut off while it was done"
            device.answer = pack_report(ANSWER, kept[2] if done else REFUSED, header.counter, text)
        device.answer_due = True
        return
    kind = ANSWER
    try:
        _write(files, mark, BEGUN)
        result, text = _do(device, code, content, now)
        if code == LOCATE:
            kind = LOCATION
        _write(files, mark, result)
    except OSError as error:
        kind, result, text = ANSWER, REFUSED, ("flash: %s" % error).encode()
    device.log("command %d: %d" % (code, result))
    device.answer = pack_report(kind, result, header.counter, text)
    device.answer_due = True


def _do(device, code, content, now):
    """(result, content): UTF-8, or the place for LOCATE."""
    if code == SET:
        import panic
        from panic.settings import change

        try:
            name, _, value = content.decode().partition("=")
            problem = change(device.files, name, value, device.settings, True)
        except UnicodeError:
            problem = "not UTF-8"
        finally:
            panic.unload("settings", "schema")
        device.show(now)
        return (REFUSED, problem.encode()) if problem else (DONE, b"")
    if code == LOCATE:
        return DONE, pack_position(device.position.current(now))
    if code == TEST_MODE_ON:
        return (DONE, b"") if device.begin_test(now) else (REFUSED, b"an alarm is open")
    if code == TEST_MODE_OFF:
        device.end_test(now)
        return DONE, b""
    if code == RESTART:
        if device.unreceipted():
            return REFUSED, b"an alarm is on its way"
        device.wants_restart = True
        return DONE, b""
    return UNKNOWN, b"unknown command"


def _set_time(device, content, now):
    unix_ms, epoch, counter = unpack_time(content)
    asked = device.supervision.asked
    if asked is None or asked[0] != (epoch, counter) or ticks_diff(now, asked[1]) > FRESH_MS:
        device.refuse("a time that answers no heartbeat of now")
        return
    device.supervision.asked = None  # once
    device.clock_known = True
    device.set_clock(unix_ms)


def _read(files):
    """(epoch, counter, result), or None when it is lost: then the next command is taken, whichever it is."""
    try:
        data = files.read(PATH)
    except OSError:
        return None
    if data is None or len(data) != struct.calcsize(_MARK) + 4:
        return None
    magic, epoch, counter, result = struct.unpack(_MARK, data[:-4])
    if magic != _MAGIC or struct.unpack(">I", data[-4:])[0] != binascii.crc32(data[:-4]):
        return None
    return epoch, counter, result


def _write(files, mark, result):
    body = struct.pack(_MARK, _MAGIC, mark[0], mark[1], result)
    files.write(PATH, body + struct.pack(">I", binascii.crc32(body)))
