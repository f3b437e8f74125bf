"""How often what has no receipt is sent again: values, printed by the tests, not loops scattered about."""

FIRST_MS = 1000
CAP_MS = 30000
JITTER_PERCENT = 25


def retry_ms(tries, random_u32):
    """Milliseconds to wait after the `tries`-th attempt: doubling up to CAP_MS, less up to the jitter; without end."""
    whole = FIRST_MS
    while tries > 1 and whole < CAP_MS:
        whole *= 2
        tries -= 1
    whole = min(whole, CAP_MS)
    return whole - random_u32() % (whole * JITTER_PERCENT // 100 + 1)
