"""Devices, owners and relatives: what is accepted, what is refused and in which words, and the commands
over them."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from gateway.commands.registry import device, owner, relative
from gateway.registry import people
from gateway.registry.devices import Device, add_device, find_device, get_device, list_devices, revoke_device
from gateway.registry.provision import device_settings
from gateway.settings_example import write_example
from gateway.store.engine import Store
from gateway.store.schema import devices
from sigap.problem import Problem
from tests.unit.gateway.store_lab import new_store

NOW = 1_700_000_000_000_000


@pytest.fixture
def store(tmp_path: Path):
    with new_store(tmp_path / "sigap.db") as store:
        yield store


def add(store: Store, name: str, **more) -> Device:
    with store.write() as conn:
        return add_device(conn, name=name, now_us=NOW, **more)


def refused(store: Store, action: Callable[[sa.Connection], object]) -> str:
    """The Problem's line; nothing of the action stays."""
    with pytest.raises(Problem) as caught, store.write() as conn:
        action(conn)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_device_is_found_as_it_was_added(store: Store):
    with store.write() as conn:
        toko = people.add_owner(conn, name="Toko Sinar", now_us=NOW)
    added = add(
        store,
        "shop-1",
        owner="Toko Sinar",
        silent=True,
        site_name="Pasar",
        site_lat=-6.9812345,
        site_lon=110.4,
    )
    assert 0 < added.id <= 0xFFFFFFFF
    assert len(added.root_key) == 16
    assert (added.owner_id, added.site_lat_e7, added.site_lon_e7) == (toko.id, -69812345, 1104000000)
    assert added.fixed_site
    assert not added.revoked
    with store.read() as conn:
        assert get_device(conn, added.id) == find_device(conn, "shop-1") == added
        assert list_devices(conn) == [added]
        assert get_device(conn, 1) is None
        assert find_device(conn, "shop-2") is None


def test_ids_and_keys_are_random_and_hidden(store: Store):
    added = [add(store, f"d{number}") for number in range(20)]
    assert len({one.id for one in added}) == len({one.root_key for one in added}) == 20
    assert "root_key" not in repr(added[0])


def test_id_is_drawn_again_when_it_is_taken(store: Store, monkeypatch: pytest.MonkeyPatch):
    add(store, "first", device_id=7)
    draws = iter([6, 6, 41])  # randbelow's answers; ids are one more
    monkeypatch.setattr("gateway.registry.devices.secrets.randbelow", lambda _limit: next(draws))
    assert add(store, "second").id == 42


@pytest.mark.parametrize("name", ["", "Shop", "-a", "a b", "a" * 65, "a\n", "ä", "../x"])
def test_device_names_that_do_not_fit(store: Store, name: str):
    assert "does not fit" in refused(store, lambda conn: add_device(conn, name=name, now_us=NOW))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"owner": "Nobody"}, "there is no owner named Nobody"),
        ({"site_lat": 1.0}, "half given"),
        ({"site_lat": 90.1, "site_lon": 0.0}, "latitude 90.1 is not on Earth"),
        ({"site_lat": 0.0, "site_lon": -181.0}, "longitude -181.0 is not on Earth"),
        ({"site_lat": float("nan"), "site_lon": 0.0}, "latitude nan is not on Earth"),
        ({"device_id": 0}, "device id 0 does not fit"),
        ({"device_id": 1 << 32}, "does not fit"),
        ({"device_id": 7}, "device id 00000007 is taken by first"),
        ({"root_key": b"short"}, "root key has 5 bytes"),
    ],
)
def test_devices_that_do_not_fit(store: Store, more: dict, words: str):
    add(store, "first", device_id=7)
    assert words in refused(store, lambda conn: add_device(conn, name="second", now_us=NOW, **more))
    with store.read() as conn:
        assert [one.name for one in list_devices(conn)] == ["first"]


def test_name_stays_taken_after_revoking(store: Store):
    added = add(store, "shop-1")
    assert "is taken" in refused(store, lambda conn: add_device(conn, name="shop-1", now_us=NOW))
    with store.write() as conn:
        assert revoke_device(conn, "shop-1", NOW + 1).revoked
    with store.write() as conn:
        revoke_device(conn, "shop-1", NOW + 2)  # again: nothing changes
    with store.read() as conn:
        assert conn.execute(sa.select(devices.c.revoked_at)).scalar_one() == NOW + 1
        assert list_devices(conn, revoked=False) == []
        found = get_device(conn, added.id)
    assert found is not None
    assert found.revoked
    assert "was used by a revoked" in refused(store, lambda conn: add_device(conn, name="shop-1", now_us=NOW))
    assert "no device named x" in refused(store, lambda conn: revoke_device(conn, "x", NOW))


def test_provisioning_is_complete(store: Store):
    added = add(store, "shop-1", device_id=0xA1B2, root_key=bytes(range(16)), silent=True)
    assert device_settings(added, broker_host="h", broker_port=1883, wifi_ssid="s", wifi_password="p") == {
        "device": "0000a1b2",
        "root_key": "000102030405060708090a0b0c0d0e0f",
        "wifi": {"ssid": "s", "password": "p"},
        "broker": {"host": "h", "port": 1883},
        "board": "devkit",
        "silent": True,
        "fixed_site": False,
    }, "what has a default in the firmware's schema is not told"
    told = device_settings(added, broker_host="h", broker_port=1883, wifi_ssid="s", heartbeat_s=3600)
    assert told["heartbeat_s"] == 3600
    with pytest.raises(Problem, match=r"wifi\.ssid does not fit"):
        device_settings(added, broker_host="h", broker_port=1883, wifi_ssid="s" * 33)
    begun = device_settings(added, broker_host="h", broker_port=1883)
    assert begun["wifi"]["ssid"] == "", "a technician fills it in; until then the device does not start"


def test_a_fixed_button_is_told_where_it_was_mounted(store: Store):
    added = add(store, "shop-2", site_name="Pasar", site_lat=-6.9932, site_lon=110.4203)
    settings = device_settings(added, broker_host="h", broker_port=1883, wifi_ssid="s")
    assert settings["site"] == {"lat_e7": -69932000, "lon_e7": 1104203000}


# People.


def test_owner_names_are_cleaned(store: Store):
    with store.write() as conn:
        added = people.add_owner(conn, name="  Toko   Sinar\u00a0Jaya ", telephone="+62 24 123", now_us=NOW)
        assert added.name == "Toko Sinar Jaya"
        assert people.find_owner(conn, "Toko Sinar  Jaya") == added == people.get_owner(conn, added.id)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"name": ""}, "owner name '' does not fit"),
        ({"name": "a\u200bb"}, "does not fit"),
        ({"name": "a" * 65}, "does not fit"),
        ({"name": "Toko"}, "owner name Toko is taken"),
        ({"name": "x", "language": "jv"}, "language 'jv' is unknown"),
        ({"name": "x", "telephone": "call me"}, "telephone number 'call me'"),
        ({"name": "x", "registered_message": "a" * 501}, "registered message has 501 characters"),
    ],
)
def test_owners_that_do_not_fit(store: Store, more: dict, words: str):
    with store.write() as conn:
        people.add_owner(conn, name="Toko", now_us=NOW)
    assert words in refused(store, lambda conn: people.add_owner(conn, **more, now_us=NOW))


def test_owner_leaves_after_the_devices_and_takes_the_relatives(store: Store):
    with store.write() as conn:
        people.add_owner(conn, name="Toko", now_us=NOW)
        people.add_relative(conn, owner="Toko", name="Budi", channel="mailto://a@b", now_us=NOW)
    add(store, "shop-1", owner="Toko")
    assert "still has the device shop-1" in refused(store, lambda conn: people.revoke_owner(conn, "Toko", NOW))
    with store.write() as conn:
        revoke_device(conn, "shop-1", NOW)
        assert people.revoke_owner(conn, "Toko", NOW).revoked
        assert people.list_relatives(conn) == []
    assert "no owner named Toko" in refused(store, lambda conn: add_device(conn, name="b", owner="Toko", now_us=NOW))
    assert "was used by a revoked" in refused(store, lambda conn: people.add_owner(conn, name="Toko", now_us=NOW))


def test_relatives(store: Store):
    with store.write() as conn:
        toko = people.add_owner(conn, name="Toko", now_us=NOW)
        budi = people.add_relative(conn, owner="Toko", name="Budi", channel="tgram://token/1", now_us=NOW)
        assert people.list_relatives(conn, owner_id=toko.id) == people.list_relatives(conn) == [budi]

    def again(conn: sa.Connection) -> object:
        return people.add_relative(conn, owner="Toko", name="Budi", channel="tgram://t/2", now_us=NOW)

    assert "already has a relative named Budi" in refused(store, again)
    bad = refused(store, lambda c: people.add_relative(c, owner="Toko", name="Ani", channel="0812", now_us=NOW))
    assert "channel of Ani is not an address" in bad
    with store.write() as conn:
        people.revoke_relative(conn, "Toko", "Budi", NOW)
        again(conn)
    assert "no relative named Ani" in refused(store, lambda c: people.revoke_relative(c, "Toko", "Ani", NOW))


def test_masked_channels_keep_their_secrets():
    assert people.masked("mailto://user:geheim@example.org") == "mailto://…le.org"
    assert people.masked("x://short") == "x://…"


# The commands.


@pytest.fixture
def config(tmp_path: Path) -> Path:
    write_example(tmp_path / "sigap.toml", {"broker.port": 2883, "broker.device_host": "10.0.0.1"})
    return tmp_path / "sigap.toml"


def call(config: Path, group, *arguments: str) -> Result:
    return CliRunner().invoke(group, [*arguments, "--config", str(config)])


def test_device_commands(config: Path, tmp_path: Path):
    out = tmp_path / "shop-1.json"
    assert call(config, owner, "add", "Toko Sinar").exit_code == 0
    done = call(
        config,
        device,
        "add",
        "shop-1",
        "--owner",
        "Toko Sinar",
        "--lat",
        "1",
        "--lon",
        "2",
        "--out",
        str(out),
        "--wifi-ssid",
        "net",
        "--json",
    )
    assert done.exit_code == 0, done.output
    shown = json.loads(done.stdout)
    assert re.fullmatch(r"[0-9a-f]{8}", shown["id"])
    assert (shown["owner"], shown["lat"], shown["broker_told"]) == ("Toko Sinar", 1.0, False)
    provisioned = json.loads(out.read_text())
    assert out.stat().st_mode & 0o777 == 0o600
    assert provisioned["broker"] == {"host": "10.0.0.1", "port": 2883}
    assert provisioned["wifi"]["ssid"] == "net"
    assert provisioned["root_key"] not in done.output
    passwords = config.parent / "var" / "broker" / "passwords"
    assert shown["id"] in passwords.read_text()

    again = call(config, device, "provision", "shop-1", "--wifi-ssid", "net")
    assert json.loads(again.stdout) == provisioned
    assert "shop-1" in call(config, device, "list").output

    assert call(config, device, "revoke", "shop-1").exit_code == 0
    assert shown["id"] not in passwords.read_text()
    listed = json.loads(call(config, device, "list", "--json").stdout)
    assert [(row["name"], row["revoked"]) for row in listed] == [("shop-1", True)]
    assert isinstance(call(config, device, "provision", "shop-1").exception, Problem)


def test_no_device_is_added_when_its_file_cannot_be_written(config: Path, tmp_path: Path):
    out = tmp_path / "other.json"
    out.write_text("another device's key")
    done = call(config, device, "add", "shop-1", "--out", str(out))
    assert isinstance(done.exception, Problem)
    assert "is there already" in str(done.exception)
    assert out.read_text() == "another device's key"
    assert json.loads(call(config, device, "list", "--json").stdout) == []


def test_no_device_is_added_without_a_broker_password(config: Path):
    config.write_text("")
    done = call(config, device, "add", "shop-1")
    assert "fewer than 12 characters" in str(done.exception)
    assert json.loads(call(config, device, "list", "--json").stdout) == []


def test_people_commands(config: Path):
    assert call(config, owner, "add", "Toko", "--language", "en", "--message", "Tolong").exit_code == 0
    assert call(config, relative, "add", "Toko", "Budi", "mailto://u:geheim@example.org", "--tests").exit_code == 0
    listed = json.loads(call(config, owner, "list", "--json").stdout)
    assert [(row["name"], row["language"], row["message"]) for row in listed] == [("Toko", "en", "Tolong")]
    shown = call(config, relative, "list", "Toko", "--json").stdout
    assert json.loads(shown)[0]["tests"] is True
    assert "geheim" not in shown
    assert "Budi" in call(config, relative, "list").output
    assert call(config, relative, "revoke", "Toko", "Budi").exit_code == 0
    assert call(config, owner, "revoke", "Toko").exit_code == 0
    assert "revoked" in call(config, owner, "list").output


def test_two_of_one_name_at_once(store: Store):
    results: list[str] = []

    def try_it() -> None:
        try:
            results.append(add(store, "shop-1").name)
        except Problem as problem:
            results.append(problem.what)

    threads = [threading.Thread(target=try_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["shop-1"] + ["the device name shop-1 is taken"] * 3
