"""What the models of both chips share: their place on the air, and how they say that a driver is wrong."""

from __future__ import annotations

from collections.abc import Callable

from simulator.radio.air import Air
from simulator.radio.plans import Plans


class Fault(Exception):
    """The program does what the chip does not have, or does not allow; the text says which clause."""


class Chip(Plans):
    """A chip at the end of an SPI bus. on_pin(level): the interrupt line moved. gone: it does not answer at all.

    transfer() is one transaction, from NSS low to high: as many bytes come back as go in.
    """

    def __init__(self, name: str, air: Air) -> None:
        super().__init__(air.clock)
        self.name, self.air = name, air
        self.on_pin: Callable[[bool], None] = lambda level: None
        self.gone = False
        self._line = False

    def set_line(self, level: bool) -> None:
        if level != self._line:
            self._line = level
            self.on_pin(level)

    @property
    def line(self) -> bool:
        """The level of the interrupt line."""
        return self._line
