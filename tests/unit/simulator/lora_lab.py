"""Virtual time for LoRa: asyncio on the kernel's clock for our drivers, and blocking calls for those of others."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any

from lora.radio import Radio
from lora.sx126x import Sx126x
from lora.sx127x import Sx127x
from simulator.radio.air import Air
from simulator.radio.sx126x import Sx126x as Sx126xChip
from simulator.radio.sx127x import Sx127x as Sx127xChip
from simulator.virtual.kernel import NEVER, Kernel

CHANNEL_HZ = 921_400_000
Chip = Sx126xChip | Sx127xChip


class _NoFiles(selectors.SelectSelector):
    def __init__(self, kernel: Kernel) -> None:
        super().__init__()
        self.kernel = kernel
        self.loop: VirtualLoop | None = None

    def select(self, timeout: float | None = None) -> list[Any]:
        """Let virtual time pass in place of waiting, until somebody is woken."""
        kernel, loop = self.kernel, self.loop
        assert loop is not None
        until_us = NEVER if timeout is None else kernel.now_us + max(round(timeout * 1e6), 0)
        while not loop.is_woken and kernel.now_us < until_us:
            step_us = min(kernel.next_us, until_us)
            assert step_us < NEVER, "everybody waits and nothing is planned"
            kernel.run(step_us)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self, kernel: Kernel) -> None:
        selector = _NoFiles(kernel)
        super().__init__(selector)
        selector.loop = self
        self._kernel = kernel

    @property
    def is_woken(self) -> bool:
        return bool(self._ready)  # pyright: ignore[reportAttributeAccessIssue]

    def time(self) -> float:
        return self._kernel.now_us / 1e6


class Bus:
    """The bus of firmware/lora/README.md to a chip's model. transfers: what was sent, in order."""

    def __init__(self, chip: Chip) -> None:
        self.chip = chip
        self.transfers: list[bytes] = []
        self._rose = asyncio.Event()
        chip.on_pin = lambda level: self._rose.set() if level else None

    def transfer(self, sent: bytes) -> bytes:
        self.transfers.append(bytes(sent))
        return self.chip.transfer(bytes(sent))

    def reset(self, level: int) -> None:
        self.chip.reset(bool(level))

    def busy(self) -> bool:
        assert isinstance(self.chip, Sx126xChip)
        return self.chip.busy

    async def wait(self, ms: int | None) -> bool:
        self._rose.clear()
        if self.chip.line:
            return True
        try:
            await asyncio.wait_for(self._rose.wait(), None if ms is None else ms / 1000)
        except TimeoutError:
            return False
        return True


class Lab:
    """An air with chips and drivers of either kind. run(): a coroutine, in virtual time."""

    def __init__(self, **air: Any) -> None:
        self.kernel = Kernel()
        self.air = Air(self.kernel, **air)
        self.loop = VirtualLoop(self.kernel)

    def run(self, job: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(job)

    def passes(self, ms: float) -> None:
        self.kernel.run(self.kernel.now_us + round(ms * 1000))

    def chip(self, kind: str, name: str, metres: float = 0.0, **options: bool) -> Chip:
        made = Sx126xChip(name, self.air, **options) if kind == "sx126x" else Sx127xChip(name, self.air)
        self.air.join(name, (metres, 0.0, 0.0), made)
        return made

    def radio(self, kind: str, name: str, metres: float = 0.0, factor: int = 9, inverted: bool = False) -> Radio:
        """One of ours, begun and tuned."""
        made = driver(self.chip(kind, name, metres))
        self.run(made.begin())
        self.run(made.tune(CHANNEL_HZ, factor, 14, inverted))
        return made


def driver(chip: Chip, **options: Any) -> Radio:
    return Sx126x(Bus(chip), **options) if isinstance(chip, Sx126xChip) else Sx127x(Bus(chip))
