"""The air's interface, with the simplest air behind it."""

from __future__ import annotations

from simulator.virtual.air import Air, ClearAir, Heard, Packet
from simulator.virtual.kernel import Kernel

HERE = (0.0, 0.0, 0.0)
CHANNEL, OTHER = 921_400_000, 921_600_000


def packet(payload: bytes = b"sos", frequency_hz: int = CHANNEL) -> Packet:
    return Packet(payload, frequency_hz, 10, 125_000, airtime_us=371_000, power_dbm=14.0)


def air_of(*names: str) -> tuple[Kernel, Air, dict[str, list[Heard]]]:
    kernel = Kernel()
    air: Air = ClearAir(kernel)
    heard: dict[str, list[Heard]] = {name: [] for name in names}
    for name in names:
        air.join(name, HERE, heard[name].append)
        air.listen(name, CHANNEL, 10)
    return kernel, air, heard


def test_who_listens_there_hears_it_when_it_is_whole() -> None:
    kernel, air, heard = air_of("button", "base", "elsewhere", "deaf")
    air.listen("elsewhere", OTHER, 10)
    air.listen("deaf", None)
    air.send("button", packet())
    kernel.run(370_999)
    assert heard["base"] == []
    assert air.is_busy("base", CHANNEL)
    assert not air.is_busy("base", OTHER)
    assert not air.is_busy("button", CHANNEL), "it does not detect itself"
    kernel.run(371_000)
    assert [each.packet.payload for each in heard["base"]] == [b"sos"]
    assert heard["elsewhere"] == heard["deaf"] == heard["button"] == []
    assert not air.is_busy("base", CHANNEL)


def test_who_sends_does_not_hear() -> None:
    kernel, air, heard = air_of("a", "b")
    air.send("a", packet(b"a"))
    kernel.at(100_000, lambda: air.send("b", packet(b"b")))
    kernel.run(1_000_000)
    assert heard == {"a": [], "b": []}


def test_a_power_cut_ends_what_is_under_way() -> None:
    kernel, air, heard = air_of("button", "base")
    air.send("button", packet())
    kernel.at(200_000, lambda: air.leave("button"))
    kernel.run(1_000_000)
    assert heard["base"] == []
    assert not air.is_busy("base", CHANNEL)
