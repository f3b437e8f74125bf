"""What a board with a serial port does: its files, which Ctrl-C interrupts, and then the interpreter's prompt."""

from .run import run_files


def run(link, is_raw):
    """Returns at the prompt, which the interpreter (started with -i) shows when the launcher has ended.

    is_raw: it left the raw REPL by a soft reset, so it goes back there, and main.py does not run.
    """
    try:
        link.send('{"serial": "open"}')
        run_files(link, not is_raw)
    except KeyboardInterrupt:  # it came between the two
        pass
    link.send('{"serial": "prompt"}')
