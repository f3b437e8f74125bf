"""What a button is, without hardware: pure state machines fed with ticks, and app.py that composes them."""

FIRMWARE = (0, 1, 0)


def say(line):
    """The log: one line on the console."""
    print("sigap:", line)
