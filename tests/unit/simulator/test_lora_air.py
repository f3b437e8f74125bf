"""The air against published figures, and what becomes of packets that meet."""

from __future__ import annotations

import pytest

from simulator.radio.air import Air, Heard
from simulator.radio.modulation import SNR_LIMIT_DB, Modulation, Packet
from simulator.radio.regions import AS923_2, Inspector
from simulator.virtual.kernel import Kernel

CHANNEL, OTHER = 921_400_000, 921_600_000


class Ear:
    """A receiver that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.heard: list[Heard] = []

    def preamble(self) -> None:
        self.told.append("preamble")

    def header(self, packet: Packet) -> None:
        self.told.append("header")

    def failed(self) -> None:
        self.told.append("failed")

    def received(self, heard: Heard) -> None:
        self.told.append("intact" if heard.intact else "broken")
        self.heard.append(heard)

    def loss_db(self) -> float:
        return 0.0


def packet(payload: bytes = bytes(24), factor: int = 9, frequency_hz: int = CHANNEL, power_dbm: float = 14.0) -> Packet:
    return Packet(payload, Modulation(frequency_hz, factor), power_dbm)


def air_of(*names: str, **options: object) -> tuple[Kernel, Air, dict[str, Ear]]:
    kernel = Kernel()
    air = Air(kernel, **options)  # type: ignore[arg-type]
    ears = {name: Ear() for name in names}
    for at, name in enumerate(names):
        air.join(name, (100.0 * at, 0.0, 0.0), ears[name])
        air.listen(name, Modulation(CHANNEL, 9))
    return kernel, air, ears


# LoRaWAN Regional Parameters RP002-1.0.4, table 46: the largest MAC payload under a dwell time of 400 ms, and 5 bytes
# of MHDR and MIC around it. One byte more is too long: so these bound the airtime from both sides.
@pytest.mark.parametrize(("factor", "most"), [(10, 19 + 5), (9, 61 + 5), (8, 133 + 5)])
def test_airtime_against_the_dwell_limits_of_lorawan(factor: int, most: int) -> None:
    assert packet(bytes(most), factor).airtime_us <= 400_000
    assert packet(bytes(most + 1), factor).airtime_us > 400_000


# Airtime in ms as Semtech's calculator prints it for 125 kHz, CR 4/5, preamble 8, explicit header, CRC.
@pytest.mark.parametrize(
    ("factor", "length", "ms"),
    [(7, 24, 61.7), (7, 51, 102.7), (8, 24, 113.2), (9, 24, 205.8), (9, 40, 287.7), (10, 24, 370.7), (10, 51, 616.4)],
)
def test_airtime_as_published(factor: int, length: int, ms: float) -> None:
    assert packet(bytes(length), factor).airtime_us / 1000 == pytest.approx(ms, abs=0.06)


def test_the_slowest_factors_do_not_fit_the_dwell_time_at_all() -> None:
    for factor in (11, 12):
        slow = Packet(bytes(24), Modulation(CHANNEL, factor), 14.0, low_data_rate=True)
        assert slow.airtime_us > 800_000


# Sensitivity at 125 kHz: SX1276 rev. 7, table 10 (RFS_L125_HF); SX1261/2 rev. 2.1, table 3-9 has SF7 and SF12.
@pytest.mark.parametrize(
    ("factor", "dbm"), [(7, -123), (8, -126), (9, -129), (10, -132), (12, -136), (7, -124), (12, -137)]
)
def test_sensitivity_as_in_the_data_sheets(factor: int, dbm: int) -> None:
    assert Modulation(CHANNEL, factor).sensitivity_dbm == pytest.approx(dbm, abs=2.0)


def test_who_listens_there_hears_it_in_order_and_nobody_else() -> None:
    kernel, air, ears = air_of("button", "base", "elsewhere", "slower", "inverted")
    air.listen("elsewhere", Modulation(OTHER, 9))
    air.listen("slower", Modulation(CHANNEL, 10))
    air.listen("inverted", Modulation(CHANNEL, 9, iq_inverted=True))
    sent = packet(b"sos")
    air.send("button", sent)
    kernel.run(sent.airtime_us - 1)
    assert ears["base"].told == ["preamble", "header"]
    assert air.is_active("base", Modulation(CHANNEL, 9))
    assert not air.is_active("base", Modulation(OTHER, 9))
    assert not air.is_active("base", Modulation(CHANNEL, 7))
    kernel.run(sent.airtime_us)
    assert [each.payload for each in ears["base"].heard] == [b"sos"]
    assert all(ears[name].told == [] for name in ("button", "elsewhere", "slower", "inverted"))
    assert not air.is_active("base", Modulation(CHANNEL, 9))


def test_another_networks_sync_word_is_not_received() -> None:
    kernel, air, ears = air_of("button", "base")
    air.listen("base", Modulation(CHANNEL, 9, sync_word=0x34))
    air.send("button", packet())
    kernel.run(1_000_000)
    assert ears["base"].told == ["preamble"]


def test_as_far_as_the_link_budget_reaches_and_no_further() -> None:
    # Bor et al. 2016: 127.41 + 20.8 log10(d / 40 m), 14 dBm; SF9's sensitivity is -129.5 here.
    reach_db = 14.0 - Modulation(CHANNEL, 9).sensitivity_dbm
    metres = 40 * 10 ** ((reach_db - 127.41) / 20.8)
    for distance, told in ((metres * 0.99, ["preamble", "header", "intact"]), (metres * 1.01, [])):
        kernel, air, ears = air_of("button")
        ears["base"] = Ear()
        air.join("base", (distance, 0.0, 0.0), ears["base"])
        air.listen("base", Modulation(CHANNEL, 9))
        air.send("button", packet())
        kernel.run(1_000_000)
        assert ears["base"].told == told


def collide(second_db: float, late_us: int, second_factor: int = 9) -> tuple[Ear, list[str]]:
    """Two senders at one base; the second is so much stronger and so much later."""
    links = {frozenset(("first", "base")): 110.0, frozenset(("second", "base")): 110.0 - second_db}
    kernel, air, ears = air_of("first", "second", "base", links=links)
    air.send("first", packet(b"first" * 5))
    kernel.after(late_us, lambda: air.send("second", packet(b"other" * 5, second_factor)))
    kernel.run(2_000_000)
    return ears["base"], [each.payload[:5].decode() for each in ears["base"].heard if each.intact]


def test_capture_of_the_stronger_by_six_db() -> None:
    assert collide(0.0, 0)[1] == []
    assert collide(5.9, 0)[1] == []
    assert collide(6.1, 0)[1] == ["other"]
    assert collide(-6.1, 0)[1] == ["first"]


def test_a_stronger_one_that_begins_after_the_lock_destroys_the_first_and_is_lost() -> None:
    ear, intact = collide(10.0, 150_000)
    assert intact == []
    assert ear.told == ["preamble", "header", "broken"]
    # In the header there is not even a length: the receiver looks for the next preamble, and finds the second's.
    ear, intact = collide(10.0, 60_000)
    assert ear.told == ["preamble", "failed", "preamble", "header", "intact"]
    assert intact == ["other"]
    assert collide(-10.0, 150_000)[1] == ["first"]


def test_during_the_first_symbols_of_a_preamble_nothing_is_lost_yet() -> None:
    # The last five symbols of the preamble are enough: what ends before them has done no harm.
    symbol_us = round(Modulation(CHANNEL, 9).symbol_us)
    kernel, air, ears = air_of("first", "second", "base")
    air.send("first", packet(b"first"))
    end_us = packet(b"first").airtime_us
    kernel.after(end_us - 3 * symbol_us, lambda: air.send("second", packet(b"other")))
    kernel.run(2_000_000)
    assert [each.payload for each in ears["base"].heard if each.intact] == [b"other"]
    assert not ears["base"].heard[0].intact


def test_other_spreading_factors_disturb_only_when_much_stronger() -> None:
    # Croce et al. 2018: SF9 stands an SF7 that is 15 dB stronger, and no more.
    assert collide(14.9, 0, second_factor=7)[1] == ["first"]
    assert collide(15.1, 0, second_factor=7)[1] == []


def test_a_jammer_and_a_power_cut_in_the_middle() -> None:
    kernel, air, ears = air_of("button", "base")
    air.send("button", packet())
    kernel.after(160_000, lambda: air.jam((100.0, 1.0, 0.0), Modulation(CHANNEL, 7, 500_000), 20.0, 20_000))
    kernel.run(1_000_000)
    assert ears["base"].told == ["preamble", "header", "broken"]
    assert ears["base"].heard[0].payload != packet().payload
    air.send("button", packet())
    kernel.after(160_000, lambda: air.leave("button"))
    kernel.run(2_000_000)
    assert ears["base"].told[3:] == ["preamble", "header", "broken"]


def test_who_sends_or_was_switched_on_late_does_not_hear() -> None:
    kernel, air, ears = air_of("a", "b", "late")
    air.listen("late", None)
    air.send("a", packet(b"a"))
    air.send("b", packet(b"b"))
    kernel.after(60_000, lambda: air.listen("late", Modulation(CHANNEL, 9)))
    kernel.run(1_000_000)
    assert all(ears[name].told == [] for name in ears)
    air.send("a", packet())
    with pytest.raises(ValueError, match="sending already"):
        air.send("a", packet())


def test_losses_are_drawn_from_the_seed() -> None:
    def received(seed: int) -> int:
        kernel, air, ears = air_of("button", "base", seed=seed, loss=0.3)
        for at in range(200):
            kernel.at(at * 300_000, lambda: air.send("button", packet()))
        kernel.run(61_000_000)
        return len(ears["base"].heard)

    assert received(1) == received(1)
    assert 110 < received(2) < 170


def test_the_region_names_each_transmission_that_it_forbids() -> None:
    kernel, air, _ = air_of("button")
    rules = Inspector(AS923_2)
    air.watchers.append(rules)
    for at, each in enumerate(
        (packet(), packet(bytes(25), 10), packet(frequency_hz=919_900_000), packet(power_dbm=22))
    ):
        kernel.at(at * 1_000_000, lambda each=each: air.send("button", each))
    kernel.run(10_000_000)
    assert [line.split(": ")[2].split(",")[0].split(" 9")[0] for line in rules.broken] == [
        "411648 us",
        "below",
        "22 dBm",
    ]


def test_the_hour_of_the_duty_cycle_slides() -> None:
    kernel, air, _ = air_of("button")
    rules = Inspector(AS923_2)
    air.watchers.append(rules)
    sent = packet()
    fits = 36_000_000 // sent.airtime_us
    for at in range(fits + 1):
        kernel.at(at * 1_000_000, lambda: air.send("button", sent))
    kernel.run(3_601_000_000)
    assert len(rules.broken) == 1
    assert "more than 1%" in rules.broken[0]
    air.send("button", sent)  # an hour after the first
    kernel.run(3_700_000_000)
    assert len(rules.broken) == 1


def test_each_factor_needs_less_than_the_one_below() -> None:
    limits = [SNR_LIMIT_DB[factor] for factor in sorted(SNR_LIMIT_DB)]
    assert limits == sorted(limits, reverse=True)
    with pytest.raises(ValueError, match="SF6"):
        Modulation(CHANNEL, 6)
