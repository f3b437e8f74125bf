"""Gestures: each folder of tests/golden/presses is a script of raw edges and what must come of it.

script.txt: "<ms> down" or "<ms> up", the edges of the contact with their bounces. A line "ticks <n>" first
sets the board's ticks at ms 0, for scripts that run over the wrap; a line "closed" says that the contact was
closed when the board started; a line "hold" makes a hold the same SOS. "<ms> counted <n> since <ms> down": what the
chip counted while nothing could run. "#" begins a comment.
outcome.txt: "<ms> press", "<ms> activation", "<ms> stuck", ...: when the button said so, on the script's clock.

A new behaviour is a new folder. `python tests/firmware/test_presses.py record` writes the outcomes that are
missing: read them before you keep them.
"""

import os
import sys

try:
    from panic.presses import Presses
except ImportError:  # run as a script, to record
    sys.path.insert(0, "firmware")
    from panic.presses import Presses

from panic.ticks import ticks_add, ticks_diff

GOLDEN = __file__.replace("\\", "/").rsplit("/", 2)[0] + "/golden/presses"
NEEDED = ("one-press", "two-presses", "three-presses", "four-presses", "six-presses", "tick-wrap")
NEEDED += ("stuck", "shorted-at-boot", "chatter-presses", "three-then-hold", "third-press-held")
NEEDED += ("hold", "counted-three")


def read(path):
    with open(path) as file:
        return file.read()


def parse(text):
    """(ticks at ms 0, closed at the start, [(ms, down, None or (closings, since ms))], hold_is_sos)."""
    start = 0
    closed = False
    edges = []
    hold = False
    for line in text.split("\n"):
        words = line.split("#")[0].split()
        if not words:
            continue
        if words[0] == "ticks":
            start = int(words[1])
        elif words[0] == "closed":
            closed = True
        elif words == ["hold"]:
            hold = True
        else:
            assert words[-1] in ("down", "up"), line
            counted = (int(words[2]), int(words[4])) if words[1] == "counted" else None
            edges.append((int(words[0]), words[-1] == "down", counted))
    return start, closed, edges, hold


def play(text):
    """The outcome of a script: polled exactly when the button asks for it, as hal and app.py do."""
    start, down, edges, hold = parse(text)
    presses = Presses(down, hold_is_sos=hold)
    now = 0
    out = []
    polls = 0

    def say(found):
        for kind, _ in found:
            out.append("%d %s\n" % (now, kind))

    say(presses.poll(start, down))
    while True:
        wait = presses.wait_ms(ticks_add(start, now))
        due = None if wait is None else now + wait
        if edges and (due is None or edges[0][0] <= due):
            now, down, counted = edges.pop(0)
            if counted:
                say(presses.counted(counted[0], ticks_add(start, counted[1]), ticks_add(start, now), down))
            else:
                say(presses.edge(ticks_add(start, now), down))
        elif due is None:
            break
        else:
            now = due
        say(presses.poll(ticks_add(start, now), down))
        polls += 1
        assert polls < 2000, "the button never grows quiet"
    return "".join(out)


def folders():
    return sorted(name for name in os.listdir(GOLDEN) if not name.startswith("."))


def test_every_recorded_gesture():
    for name in folders():
        place = GOLDEN + "/" + name + "/"
        names = os.listdir(place)
        assert "script.txt" in names, name + " has no script.txt"
        assert "outcome.txt" in names, name + " is not recorded"
        found = play(read(place + "script.txt"))
        assert found == read(place + "outcome.txt"), "%s:\n%s" % (name, found)


def test_the_gestures_that_matter_are_there():
    there = folders()
    for name in NEEDED:
        assert name in there, name


def press(presses, at, length=80):
    out = presses.edge(at, True)
    out += presses.edge(ticks_add(at, length), False)
    return out


def test_edges_handled_late_count_with_their_own_time():
    # Flash was erased for a second: three presses wait in the ring, and are handled in one go.
    presses = Presses()
    out = press(presses, 1000) + press(presses, 1200) + press(presses, 1400)
    out += presses.poll(5000, False)
    assert [kind for kind, _ in out] == ["press", "press", "press", "activation"], out
    assert out[-1] == ("activation", 1400), out


def test_an_activation_carries_the_moment_of_its_third_press():
    presses = Presses()
    out = press(presses, 0) + press(presses, 300)
    out += presses.edge(600, True) + presses.edge(603, False) + presses.edge(610, True)
    out += presses.poll(640, True)
    assert out[-1] == ("activation", 600), out


def test_a_lost_edge_is_made_good_by_the_level():
    presses = Presses()
    assert presses.poll(0, False) == []
    assert presses.poll(100, True) == []  # no edge said so
    assert presses.poll(130, True) == [("press", 100)]


def test_presses_do_not_come_back_after_the_wrap():
    # Two presses, then one exactly a wrap (12.4 days) later, which looks 200 ms away to ticks_diff.
    presses = Presses()
    press(presses, 0)
    press(presses, 200)
    now = 280
    while presses.wait_ms(now) is not None:
        now += presses.wait_ms(now)
        presses.poll(now, False)
    assert now < 2000
    out = press(presses, 400)
    out += presses.poll(600, False)
    assert [kind for kind, _ in out] == ["press"], out


def test_a_quiet_button_asks_for_no_sampling():
    presses = Presses()
    presses.poll(0, False)
    assert presses.wait_ms(0) is None
    presses.edge(10, True)
    assert presses.wait_ms(10) == 30


def test_a_contact_closed_at_power_up_is_no_press_but_can_be_stuck():
    presses = Presses(down=True)
    assert presses.poll(50, True) == []
    assert presses.poll(50 + 29999, True) == []
    assert presses.poll(50 + 30000, True) == [("stuck", 50)]
    assert presses.wait_ms(50 + 30000) is None


def test_a_window_of_ones_own():
    presses = Presses(window_ms=1000, gap_ms=800)
    out = press(presses, 0) + press(presses, 600) + press(presses, 1100)
    assert "activation" not in [kind for kind, _ in out + presses.poll(1200, False)], out
    # The first has gone out of the window; the second, the third and one more are three in it.
    out = press(presses, 1500) + presses.poll(1700, False)
    assert "activation" in [kind for kind, _ in out], out


def test_differences_over_the_wrap():
    last = (1 << 30) - 1
    assert ticks_add(last, 1) == 0
    assert ticks_diff(5, last) == 6
    assert ticks_diff(last, 5) == -6
    assert ticks_diff(ticks_add(0, 1 << 28), 0) == 1 << 28


def record():
    for name in folders():
        place = GOLDEN + "/" + name + "/"
        if "outcome.txt" not in os.listdir(place):
            with open(place + "outcome.txt", "w") as file:
                file.write(play(read(place + "script.txt")))
            print("recorded", name)


if __name__ == "__main__" and sys.argv[1:] == ["record"]:
    record()
