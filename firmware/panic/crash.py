"""The last lines of a crash: kept on flash, told after the start, removed when the gateway has them. Loaded when
needed."""

import sys

from panic_wire.bodies import CRASH_TEXT, CRASHED, REPORT_TEXT_BYTES, pack_report
from panic_wire.header import REPORT

PATH = "/state/crash"
PARTS = 4


def text_of(error):
    """The traceback as text."""
    if hasattr(sys, "print_exception"):
        import io

        out = io.BytesIO()
        sys.print_exception(error, out)  # type: ignore[reportArgumentType]
        return out.getvalue().decode()  # type: ignore[reportAttributeAccessIssue]
    import traceback

    return "".join(traceback.format_exception(error))


def keep(device, task, error):
    """Write what happened, its end rather than its beginning; PARTS parts at most. A newer crash takes its place."""
    head = "task %s\n" % task
    text = text_of(error).strip()
    text = head + text[len(head) - PARTS * REPORT_TEXT_BYTES :]
    device.files.write(PATH, text.encode()[: PARTS * REPORT_TEXT_BYTES])


def resume(device, cause, now):
    """After a start: begin to tell it, when there was one. cause: of this start."""
    size = len(device.files.read(PATH) or b"")
    for number in range((size + REPORT_TEXT_BYTES - 1) // REPORT_TEXT_BYTES):
        device.trouble(CRASHED, True, cause, now)
        device.notices.begin(REPORT, number, 0, now)


def part(device, number):
    """The body of the report that tells one part."""
    data = device.files.read(PATH) or b""
    return pack_report(CRASH_TEXT, number, 0, data[number * REPORT_TEXT_BYTES :])


def told(device, now):
    """The gateway has a part; when it has all of them, the file goes."""
    if not device.notices.count(REPORT):
        device.trouble(CRASHED, False, 0, now)
        device.files.remove(PATH)
