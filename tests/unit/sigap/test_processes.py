"""A signal ends a block in order, whenever it comes."""

from __future__ import annotations

import signal
import time

import pytest

from sigap.processes import Interrupted, interruptible


class Finalized:
    def __del__(self) -> None:
        signal.raise_signal(signal.SIGTERM)
        sum(range(10))  # here the handler raises, and Python drops what a finalizer raises


def test_a_signal_during_a_finalizer_is_not_lost() -> None:
    done: list[str] = []

    def work() -> None:
        with interruptible():
            try:
                one = Finalized()
                del one
                done.append("went on")
                time.sleep(5)
                done.append("lost")
            finally:
                done.append("tidied")

    with pytest.raises(Interrupted):
        work()
    assert done == ["went on", "tidied"]
