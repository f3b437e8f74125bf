"""The light language, sampled as an eye would: which light at which millisecond."""

from panic.lights import CANCELLED, IDLE, NOT_RECEIVED, TABLE, TEST_IDLE, Lights
from panic.ticks import ticks_add
from panic_wire.frames import ACCEPTED, ACKNOWLEDGED, CLOSED, DISPATCHED, ON_SCENE, RECEIPT


def runs(ask, start, length_ms):
    """[(on, ms)] over a time, asking only when the waits say so."""
    out = []
    now = 0
    while now < length_ms:
        on, wait = ask(ticks_add(start, now))
        step = length_ms - now if wait is None else min(wait, length_ms - now)
        assert step > 0
        if out and out[-1][0] == on:
            out[-1] = (on, out[-1][1] + step)
        else:
            out.append((on, step))
        now += step
    return out


class Settings:
    def __init__(self, silent=False, vibrate_on_receipt=False):
        self.silent = silent
        self.vibrate_on_receipt = vibrate_on_receipt


def shown(stage, start=0, **settings):
    lights = Lights(Settings(**settings))
    lights.show(stage, start)
    return lights


PATTERNS = {
    0: [(True, 80), (False, 170)],
    RECEIPT: [(True, 1000), (False, 1000)],
    ACCEPTED: [(True, 1000), (False, 1000)],
    ACKNOWLEDGED: [(True, 200), (False, 200), (True, 200), (False, 1000)],
    NOT_RECEIVED: [(True, 600), (False, 200)],
    CANCELLED: [(True, 100), (False, 100), (True, 100), (False, 700)],
}


def test_blinking():
    for start in (0, (1 << 30) - 100):
        for stage in PATTERNS:
            want = PATTERNS[stage] * 3
            length = sum([ms for _, ms in want])
            assert runs(shown(stage, start).led, start, length) == want, stage


def test_steady_and_off():
    for stage in (DISPATCHED, ON_SCENE):
        assert shown(stage).led(123) == (True, None)
    for stage in (IDLE, CLOSED):
        assert shown(stage).led(123) == (False, None)
    assert Lights(Settings()).led(5) == (False, None)


def test_tones():
    for stage, tones in ((RECEIPT, 1), (ACKNOWLEDGED, 2), (DISPATCHED, 3)):
        want = [(True, 200), (False, 200)] * tones
        want[-1] = (False, 1200)
        assert runs(shown(stage).buzzer, 0, 400 * tones + 1000) == want, stage
    assert runs(shown(0).buzzer, 0, 2000) == [(False, 2000)]


def test_what_says_the_same_starts_nothing_anew():
    lights = shown(RECEIPT)
    assert not lights.led(1500)[0]
    lights.show(ACCEPTED, 1500)
    assert lights.led(1500) == (False, 500)
    assert lights.buzzer(1500) == (False, None)
    lights.show(DISPATCHED, 2000)
    lights.buzzer(9000)
    lights.show(ON_SCENE, 9000)
    assert lights.buzzer(9000) == (False, None)


def test_a_new_alarm_is_told_from_its_beginning():
    lights = shown(DISPATCHED)
    lights.show(0, 5000)
    assert lights.led(5000) == (False, 170), "dark first: or it would look as if help were still coming"
    assert lights.led(5170) == (True, 80)
    assert lights.buzzer(5000) == (False, None)
    lights.show(RECEIPT, 6000)
    assert lights.buzzer(6000)[0]


def test_silent_says_nothing():
    for stage in range(TEST_IDLE):
        lights = shown(stage, silent=True)
        assert lights.led(50) == (False, None)
        assert lights.buzzer(50) == (False, None)
        assert lights.shaker(50) == (False, None)
        assert lights.colour == 0


def test_silent_may_shake_once_when_it_was_received():
    for stage in range(1, IDLE):
        lights = shown(0, silent=True, vibrate_on_receipt=True)
        assert lights.shaker(0) == (False, None)
        lights.show(stage, 1000)
        assert runs(lights.shaker, 1000, 3000) == [(True, 200), (False, 2800)]
        assert runs(lights.led, 1000, 3000) == [(False, 3000)]
        lights.show(DISPATCHED, 5000)
        assert lights.shaker(5000) == (False, None)


def test_the_table_tells_the_truths_apart():
    rows = [TABLE[what] for what in (0, RECEIPT, ACKNOWLEDGED, DISPATCHED)]
    rows += TABLE[IDLE:]
    assert len({row[0] for row in rows}) == len(rows), "two truths look the same"
    for what in range(len(TABLE)):
        lights = shown(what)
        assert runs(lights.shaker, 0, 3000)[0][0] == bool(TABLE[what][3])
        assert lights.colour == TABLE[what][1]


def test_a_light_may_run_for_weeks():
    lights = shown(0)
    now = 0
    for _ in range(10000):
        now = ticks_add(now, 3 * 60000 + 7)
        on, wait = lights.led(now)
        assert 0 < wait <= 170
        assert on in (True, False)
