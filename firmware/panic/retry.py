"""How often an unreceipted alarm is sent again: a value, printed and tested, not loops scattered about."""


class RetryPolicy:
    """Waits grow by doubling from first_ms to cap_ms, each less up to jitter_percent; they never end."""

    def __init__(self, first_ms=1000, cap_ms=30000, jitter_percent=25):
        self.first_ms = first_ms
        self.cap_ms = cap_ms
        self.jitter_percent = jitter_percent

    def wait_ms(self, tries, random_u32):
        """Milliseconds to wait after the `tries`-th attempt (1 for the first)."""
        whole = self.first_ms
        for _ in range(tries - 1):
            whole *= 2
            if whole >= self.cap_ms:
                whole = self.cap_ms
                break
        spread = whole * self.jitter_percent // 100
        return whole - (random_u32() % (spread + 1) if spread else 0)

    def __repr__(self):
        return "RetryPolicy(first_ms=%d, cap_ms=%d, jitter_percent=%d)" % (
            self.first_ms,
            self.cap_ms,
            self.jitter_percent,
        )
