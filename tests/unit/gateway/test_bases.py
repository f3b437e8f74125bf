"""Base stations in the store: which there are, what is wrong with them, who answers whom."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.ingest.hearing import Hearing, hearing
from gateway.ingest.hearings import MOST_FRAMES, Hearings, last_base
from gateway.operations import doctor
from gateway.operations.findings import BAD, OK
from gateway.registry.devices import add_device
from gateway.settings import load_settings
from gateway.settings_example import write_example
from gateway.store.engine import Store, open_store
from gateway.supervision import bases, troubles
from panic_wire.frames import ALARM, Header

DEVICE, EPOCH = 0xA1B2, 7
SECOND = 1_000_000


@pytest.fixture
def store(tmp_path: Path):
    with open_store(f"sqlite:///{tmp_path / 'sigap.db'}") as opened:
        with opened.write() as conn:
            add_device(conn, name="toko", owner=None, now_us=1, device_id=DEVICE, root_key=bytes(16))
        yield opened


def heard(base: int, snr_db: int = 5, held_ms: int = 0) -> Hearing:
    return Hearing(base, held_ms, False, -90, snr_db, b"")


def frame(counter: int) -> Header:
    return Header(ALARM, 0, DEVICE, EPOCH, counter)


def test_a_base_is_noted_and_is_trouble_while_it_is_not_online(store: Store) -> None:
    with store.write() as conn:
        assert bases.note(conn, 0xB1, bases.ONLINE, {"up_hz": 921_400_000}, "/dev/ttyUSB0", 10)
        assert not bases.note(conn, 0xB1, bases.ONLINE, {"heard": 3}, "/dev/ttyUSB0", 20)
        (one,) = bases.listed(conn)
        assert (one["base"], one["state"], one["since_at"], one["heard_at"]) == ("000000b1", "online", 10, 20)
        assert bases.troubles(conn) == []
        before = troubles.lasting_count(conn)
        assert bases.note(conn, 0xB1, bases.CUT_OFF, {}, "/dev/ttyUSB0", 30)
        (trouble,) = bases.troubles(conn)
        assert (trouble["name"], trouble["began_at"]) == ("base_cut_off", 30)
        assert bases.listed(conn)[0]["heard_at"] == 20
        bases.silence_all(conn, 40)
        assert bases.troubles(conn)[0]["name"] == "base_silent"
        assert troubles.lasting_count(conn) == before + 1
        assert bases.forget(conn, 0xB1)
        assert not bases.forget(conn, 0xB1)


def test_what_several_bases_hear_at_one_time_is_an_echo_and_what_comes_later_is_not(store: Store) -> None:
    with store.write() as conn:
        of = Hearings(conn)
        of.heard(DEVICE, frame(5), heard(1), 100 * SECOND)
        assert of.is_echo(DEVICE, frame(5), heard(2), 101 * SECOND)
        assert of.is_echo(DEVICE, frame(5), heard(2, held_ms=3_600_000), 3_700 * SECOND), "held for an hour"
        assert not of.is_echo(DEVICE, frame(5), heard(2), 3_700 * SECOND), "recorded, and said an hour later"
        assert not of.is_echo(DEVICE, frame(6), heard(2), 101 * SECOND)
        for counter in range(6, 6 + MOST_FRAMES):
            of.heard(DEVICE, frame(counter), heard(1), 102 * SECOND)
        assert not of.is_echo(DEVICE, frame(5), heard(2), 103 * SECOND), "so many are kept"
    with store.write() as conn:
        assert Hearings(conn).is_echo(DEVICE, frame(6), heard(2), 103 * SECOND), "also by another process"


def test_the_base_that_hears_best_answers_and_the_others_in_turn_when_that_did_not_help(store: Store) -> None:
    with store.write() as conn:
        assert last_base(conn, DEVICE) is None
        of = Hearings(conn)
        assert of.best(DEVICE, heard(9)) == 9
        for base, snr_db in ((1, -5), (2, 9), (3, 0)):
            of.heard(DEVICE, frame(base), heard(base, snr_db), 100 * SECOND)
        assert of.best(DEVICE, heard(1, -5)) == 2
        # One that lies about how well it hears cannot swallow every answer.
        assert {of.best(DEVICE, heard(1), turn=turn) for turn in range(3)} == {1, 2, 3}
        of.heard(DEVICE, frame(10), heard(1, -5), 10_000 * SECOND)
        assert of.best(DEVICE, heard(1, -5)) == 1, "the others have not heard it for long"
        assert last_base(conn, DEVICE) == 1


def test_a_message_without_a_frame_is_none() -> None:
    assert hearing(1, bytes(11)) is None
    found = hearing(1, bytes((0, 0, 0, 1, 0, 0, 0, 200, 166, 251, 1)) + b"frame")
    assert found == Hearing(1, 200, True, -90, -5, b"frame")


def test_the_doctor_says_which_port_is_dumb(tmp_path: Path) -> None:
    config = tmp_path / "sigap.toml"
    write_example(config, {"gateway.data_dir": str(tmp_path), "bases.ports": "/dev/one, /dev/two,/dev/three"})
    settings = load_settings(config)
    assert settings.bases.listed == ["/dev/one", "/dev/two", "/dev/three"]
    with open_store(settings.store_url) as opened, opened.write() as conn:
        bases.note(conn, 1, bases.ONLINE, {}, "/dev/one", 1)
        bases.note(conn, 2, bases.SILENT, {}, "/dev/two", 1)
    said = [(each.state, each.says) for each in doctor._bases(settings)]
    assert [state for state, _ in said] == [OK, BAD, BAD]
    assert "00000002 at /dev/two is silent" in said[1][1]
    assert "no base station has spoken at /dev/three" in said[2][1]
