"""The bearer over TLS, which asks what the date is. Loaded only with TLS."""

from hal import clock
from panic.bearers import WifiBearer


def bearer(settings, *rest):
    """As panic.bearers.WifiBearer."""
    clock.at_least(settings.clock_floor_s)
    made = WifiBearer(settings, *rest)
    made.on_early = clock.forward  # pyright: ignore[reportAttributeAccessIssue]
    return made
