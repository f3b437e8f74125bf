"""The models of both chips: what they refuse, what errata cost, and our drivers through them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from lora_lab import CHANNEL_HZ, Bus, Lab, driver

from lora.radio import Radio, RadioError, airtime_ms
from lora.sx126x import Sx126x
from simulator.radio import sx126x_setup as sx126x_model
from simulator.radio.chip import Fault
from simulator.radio.modulation import Modulation, Packet
from simulator.radio.sx126x import Sx126x as Sx126xChip
from simulator.radio.sx127x import Sx127x as Sx127xChip

KINDS = ("sx126x", "sx127x")
FRAME = bytes(range(24))


def ready(lab: Lab, kind: str = "sx126x", **options: bool) -> Any:
    """A chip after its reset."""
    chip = lab.chip(kind, "chip", **options)
    chip.reset(False)
    lab.passes(1)
    chip.reset(True)
    lab.passes(10)
    return chip


# What the SX126x refuses


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        ("ff", "no opcode 0xff"),
        ("", "empty"),
        ("8301", "SetTx takes 3 bytes, not 1"),
        ("83000000", "SetTx before the packet type was set"),
        ("8b09040100", "SetModulationParams before the packet type"),
        ("9500000101", "deviceSel"),
        ("9505070001", "destroys"),
        ("0d123456", "no register 0x1234"),
        ("1d123400ff", "no register 0x1234"),
        ("94000001000001", "SetRxDutyCycle is not modelled"),
        ("8a00", "only LoRa"),
        ("8e2004", "no transmit power of 32"),
        ("0e" + "00" * 258, "WriteBuffer takes 2 bytes"),
    ],
)
def test_the_sx126x_refuses_loudly(sent: str, why: str) -> None:
    with pytest.raises(Fault, match=why):
        ready(Lab()).transfer(bytes.fromhex(sent))


@pytest.mark.parametrize("sent", ["8b0604010000000000", "8b09070100", "8c00000018010000", "8c0008021801000000"])
def test_parameters_that_lora_does_not_have(sent: str) -> None:
    chip = ready(Lab())
    chip.transfer(bytes.fromhex("8a01"))
    with pytest.raises(Fault):
        chip.transfer(bytes.fromhex(sent))


def test_a_new_packet_type_forgets_the_modulation() -> None:
    chip = ready(Lab())
    for sent in ("8a01", "86399cccd0", "8b09040100", "8c000800180100", "8a01"):
        chip.transfer(bytes.fromhex(sent))
    with pytest.raises(Fault, match="before the modulation"):
        chip.transfer(bytes.fromhex("82ffffff"))


def test_a_transfer_while_busy() -> None:
    lab = Lab()
    chip = ready(lab)
    chip.transfer(bytes.fromhex("897f"))
    assert chip.busy
    with pytest.raises(Fault, match="SetFs while BUSY"):
        chip.transfer(b"\xc1")
    lab.passes(3.6)
    assert not chip.busy
    chip.transfer(b"\xc1")


def test_sleep_warm_keeps_the_settings_and_cold_does_not() -> None:
    for mode, kept in ((4, b"\x12\x34"), (0, b"\x14\x24")):
        lab = Lab()
        chip = ready(lab)
        chip.transfer(bytes.fromhex("0d07401234"))
        chip.transfer(bytes((0x84, mode)))
        assert chip.busy
        chip.transfer(b"\xc0\0")  # this wakes it, and is not read
        lab.passes(0.3 if kept == b"\x12\x34" else 3.4)
        assert chip.busy
        lab.passes(0.2)
        assert chip.transfer(bytes.fromhex("1d074000") + bytes(2))[4:] == kept


# What the SX127x refuses


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        ("8155", "FSK is not modelled"),
        ("8000", "FSK is not modelled"),
        ("c211", "0x42 cannot be written"),
        ("9300", "0x13 cannot be written"),
        ("7000", "no register 0x70"),
        ("9e64", "SF6 is not modelled"),
    ],
)
def test_the_sx127x_refuses_loudly(sent: str, why: str) -> None:
    with pytest.raises(Fault, match=why):
        ready(Lab(), "sx127x").transfer(bytes.fromhex(sent))


def test_long_range_mode_changes_in_sleep_only_and_there_the_fifo_is_out_of_reach() -> None:
    chip = ready(Lab(), "sx127x")
    chip.transfer(bytes.fromhex("8181"))
    assert chip.transfer(bytes.fromhex("0100"))[1] == 0x01
    for sent in ("8100", "8180"):
        chip.transfer(bytes.fromhex(sent))
    with pytest.raises(Fault, match="in sleep"):
        chip.transfer(b"\x80\x01")
    chip.transfer(bytes.fromhex("8181"))
    assert chip.transfer(bytes.fromhex("0100"))[1] == 0x81


def test_within_five_ms_of_a_reset_nothing_answers() -> None:
    lab = Lab()
    chip = lab.chip("sx127x", "chip")
    chip.reset(False)
    chip.reset(True)
    with pytest.raises(Fault, match="5 ms"):
        chip.transfer(b"\x42\0")


# Our drivers


@pytest.mark.parametrize("sender", KINDS)
@pytest.mark.parametrize("receiver", KINDS)
@pytest.mark.parametrize("inverted", [False, True])
def test_one_sends_and_the_other_receives(sender: str, receiver: str, inverted: bool) -> None:
    lab = Lab()
    button = lab.radio(sender, "button", inverted=inverted)
    base = lab.radio(receiver, "base", 100.0, inverted=inverted)

    async def talk() -> tuple[int, Any]:
        await base.listen()
        airtime = await button.send(FRAME)
        return airtime, await base.take(1000)

    begun_us = lab.kernel.now_us
    airtime, (payload, rssi_dbm, snr_db) = lab.run(talk())
    assert airtime == airtime_ms(24, 9) == 206
    assert payload == FRAME
    expected_dbm = 14.0 - lab.air.path_loss_db("button", (0, 0, 0), "base")
    assert rssi_dbm == pytest.approx(expected_dbm, abs=1.5)
    assert snr_db == pytest.approx(min(expected_dbm + 117, 12), abs=1.5)
    assert lab.kernel.now_us - begun_us < 215_000
    assert lab.run(base.take(100)) is None, "it is told once"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("factor", [7, 8, 10, 11, 12])
def test_every_factor_and_length(kind: str, factor: int) -> None:
    lab = Lab()
    button, base = lab.radio(kind, "button", factor=factor), lab.radio(kind, "base", 100.0, factor=factor)
    sent: list[Packet] = []
    lab.air.watchers.append(lambda name, packet, begin_us: sent.append(packet))

    async def talk(payload: bytes) -> Any:
        await base.listen()
        await button.send(payload)
        return await base.take(100)

    for length in (1, 24, 255):
        payload = bytes(at * 7 % 256 for at in range(length))
        assert lab.run(talk(payload))[0] == payload
        assert airtime_ms(length, factor) == -(-sent[-1].airtime_us // 1000), "as the air counts it"
    assert sent[0].low_data_rate == (factor > 10)
    with pytest.raises(ValueError, match="1 to 255"):
        lab.run(button.send(bytes(256)))


@pytest.mark.parametrize("kind", KINDS)
def test_packets_come_one_after_the_other(kind: str) -> None:
    lab = Lab()
    button, base = lab.radio(kind, "button", factor=7), lab.radio(kind, "base", 100.0, factor=7)

    async def talk() -> list[bytes]:
        await base.listen()
        got = []
        for at in range(30):  # more than the chip's 256 bytes
            await button.send(bytes((at,)) * 20)
            packet = await base.take(100)
            assert packet
            got.append(packet[0])
        return got

    assert lab.run(talk()) == [bytes((at,)) * 20 for at in range(30)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_packet_that_came_broken_is_counted_and_the_next_is_received(kind: str) -> None:
    lab = Lab()
    button, base = lab.radio(kind, "button"), lab.radio(kind, "base", 100.0)

    async def talk() -> tuple[Any, Any]:
        await base.listen()
        lab.kernel.after(150_000, lambda: lab.air.jam((100.0, 0.0, 0.0), Modulation(CHANNEL_HZ, 9), 20.0, 10_000))
        await button.send(FRAME)
        broken = await base.take(100)
        await button.send(FRAME)
        return broken, await base.take(100)

    broken, whole = lab.run(talk())
    assert broken is None
    assert base.crc_errors == 1
    assert whole[0] == FRAME


def test_a_header_that_came_broken_is_counted() -> None:
    lab = Lab()
    button, base = lab.radio("sx126x", "button"), lab.radio("sx126x", "base", 100.0)

    async def talk() -> Any:
        await base.listen()
        lab.kernel.after(60_000, lambda: lab.air.jam((100.0, 0.0, 0.0), Modulation(CHANNEL_HZ, 9), 20.0, 10_000))
        await button.send(FRAME)
        return await base.take(100)

    assert lab.run(talk()) is None
    assert (base.crc_errors, base.header_errors) == (0, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_channel_activity(kind: str) -> None:
    lab = Lab()
    button, other = lab.radio(kind, "button"), lab.radio(kind, "other", 100.0)

    async def look() -> tuple[bool, bool, float]:
        before = await other.is_free()
        sending = asyncio.ensure_future(button.send(FRAME))
        await asyncio.sleep(0.05)
        begun = asyncio.get_running_loop().time()
        during = await other.is_free()
        took = asyncio.get_running_loop().time() - begun
        await sending
        return before, during, took

    before, during, took_s = lab.run(look())
    assert before
    assert not during
    assert took_s < 0.015, "two or three symbols"


@pytest.mark.parametrize("kind", KINDS)
def test_after_sleep_it_sends_as_before(kind: str) -> None:
    lab = Lab()
    button, base = lab.radio(kind, "button"), lab.radio(kind, "base", 100.0)

    async def talk() -> Any:
        await button.sleep()
        await asyncio.sleep(10)
        await button.wake()
        await base.listen()
        await button.send(FRAME)
        return await base.take(100)

    assert lab.run(talk())[0] == FRAME


def reason(lab: Lab, job: Coroutine[Any, Any, Any], within_ms: float) -> str:
    begun_us = lab.kernel.now_us
    with pytest.raises(RadioError) as error:
        lab.run(job)
    assert lab.kernel.now_us - begun_us < within_ms * 1000
    return error.value.reason


@pytest.mark.parametrize("kind", KINDS)
def test_a_chip_that_is_not_there(kind: str) -> None:
    lab = Lab()
    chip = lab.chip(kind, "chip")
    chip.gone = True
    assert reason(lab, driver(chip).begin(), 100) == "absent"


def test_busy_that_stays_high() -> None:
    lab = Lab()
    chip = lab.chip("sx126x", "chip")
    assert isinstance(chip, Sx126xChip)
    radio = driver(chip)
    lab.run(radio.begin())
    lab.run(radio.tune(CHANNEL_HZ, 9, 14))
    chip.stuck = True
    assert reason(lab, radio.send(FRAME), 100) == "busy"
    assert reason(lab, radio.begin(), 100) == "busy"
    chip.stuck = False
    lab.run(radio.begin())


@pytest.mark.parametrize("kind", KINDS)
def test_before_it_is_tuned_it_does_nothing(kind: str) -> None:
    lab = Lab()
    radio = driver(lab.chip(kind, "chip"))
    lab.run(radio.begin())
    for job in (radio.send(FRAME), radio.listen(), radio.is_free()):
        assert reason(lab, job, 10) == "untuned"


@pytest.mark.parametrize("kind", KINDS)
def test_an_interrupt_line_that_is_cut_costs_time_and_no_packet(kind: str) -> None:
    lab = Lab()
    button, base = lab.radio(kind, "button"), lab.radio(kind, "base", 100.0)
    for radio in (button, base):
        chip = radio._bus.chip  # type: ignore[attr-defined]
        chip.on_pin = lambda level: None
        chip.set_line = lambda level: None

    async def talk() -> Any:
        await base.listen()
        await button.send(FRAME)
        return await base.take(100)

    assert lab.run(talk())[0] == FRAME


@pytest.mark.parametrize("kind", KINDS)
def test_a_line_that_is_stuck_high_holds_nothing_up(kind: str) -> None:
    lab = Lab()
    base = lab.radio(kind, "base")
    chip = base._bus.chip  # type: ignore[attr-defined]
    chip._line, chip.set_line = True, lambda level: None
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0.01)

    async def talk() -> Any:
        counting = asyncio.ensure_future(count())
        await base.listen()
        packet = await base.take(200)
        counting.cancel()
        return packet

    assert lab.run(talk()) is None
    assert turns >= 19


def test_a_tcxo_and_the_antennas_switch_need_what_the_board_says() -> None:
    lab = Lab()
    chip = lab.chip("sx126x", "chip", tcxo=True, dio2_switch=True)
    assert reason(lab, driver(chip).begin(), 100) == "oscillator"
    powers = []
    lab.air.watchers.append(lambda name, packet, begin_us: powers.append(packet.power_dbm))
    for options in ({"tcxo": 2}, {"tcxo": 2, "dio2": True}):
        radio = driver(chip, **options)
        lab.run(radio.begin())
        lab.run(radio.tune(CHANNEL_HZ, 9, 14))
        lab.run(radio.send(FRAME))
    assert powers == [14.0 - sx126x_model.ANTENNA_OFF_DB, 14.0]


def test_what_the_errata_cost_when_they_are_left_open() -> None:
    """Our driver closes them (all tests above); here they are opened again behind its back."""
    lab = Lab()
    powers = []
    lab.air.watchers.append(lambda name, packet, begin_us: powers.append(packet.power_dbm))
    radio = lab.radio("sx126x", "button")
    assert isinstance(radio, Sx126x)
    chip = radio._bus.chip
    assert chip.loss_db() == 0.0
    lab.run(radio._write(0x08D8, 0xC8))
    lab.run(radio._write(0x0736, 0x09))
    lab.run(radio.send(FRAME))
    assert powers == [14.0 - sx126x_model.CLAMP_DB]
    assert chip.loss_db() == sx126x_model.POLARITY_DB
    other = lab.radio("sx127x", "other")
    assert isinstance(other._bus, Bus)
    assert isinstance(other._bus.chip, Sx127xChip)
    assert not other._bus.chip.spurious
    other._bus.transfer(b"\xb1\xc3")
    assert other._bus.chip.spurious


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("asked", "sent"), [(2, 2), (14, 14), (17, 17), (18, 18), (20, 20)])
def test_the_power_that_was_asked_for_is_sent(kind: str, asked: int, sent: int) -> None:
    lab = Lab()
    powers = []
    lab.air.watchers.append(lambda name, packet, begin_us: powers.append(packet.power_dbm))
    radio: Radio = driver(lab.chip(kind, "button"))
    lab.run(radio.begin())
    lab.run(radio.tune(CHANNEL_HZ, 7, asked))
    lab.run(radio.send(FRAME))
    assert powers == [sent]
