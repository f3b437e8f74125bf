"""What a button is, without hardware: pure state machines fed with ticks, and app.py that composes them."""

FIRMWARE = (0, 1, 0)


def say(line):
    """The log: one line on the console."""
    print("sigap:", line)


def unload(*names):
    """Give back the RAM of modules of this package that have done their work; they are loaded again when needed."""
    drop("panic", *names)


def drop(package, *names):
    """The same of another package."""
    import sys

    for name in names:
        if sys.modules.pop("%s.%s" % (package, name), None):
            delattr(sys.modules[package], name)
