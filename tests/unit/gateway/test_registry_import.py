"""The registry from CSV files, and what `add`, `list`, `show` and `revoke` say: every kind, in one process."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from gateway.commands.operators import operator
from gateway.commands.people import owner, relative
from gateway.commands.registry import device
from gateway.commands.units import unit
from gateway.registry import operators, people, units
from gateway.registry.csv_import import (
    DEVICES,
    KINDS,
    MOST_MISTAKES,
    OPERATORS,
    OWNERS,
    RELATIVES,
    UNITS,
    Kind,
    Report,
    import_file,
)
from gateway.registry.devices import add_device, list_devices, revoke_device
from gateway.registry.rehearsal import rehearsal
from gateway.settings_example import write_example
from gateway.store.engine import Store, open_store
from panic_wire.topics import device_name
from sigap.problem import USAGE, Problem

NOW = 1_700_000_000_000_000
GROUPS = {"owner": owner, "device": device, "relative": relative, "unit": unit, "operator": operator}
PAGE = Path(__file__).parents[3] / "docs" / "administrator.md"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    write_example(tmp_path / "sigap.toml", {"broker.port": 2883})
    return tmp_path / "sigap.toml"


@pytest.fixture
def store(tmp_path: Path, config: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path / 'var' / 'sigap.db'}") as store:
        yield store


@pytest.fixture(autouse=True)
def quick_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of a second each is for passwords in earnest."""
    from argon2 import PasswordHasher

    monkeypatch.setattr(operators, "_hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


def bring(store: Store, kind: Kind, text: str, folder: Path, **more: Any) -> Report:
    file = folder / f"{kind.name}.csv"
    file.write_bytes(text.encode())
    return import_file(store, kind, file, NOW, **more)


def call(config: Path, group: str, *arguments: str) -> Result:
    return CliRunner().invoke(GROUPS[group], [*arguments, "--config", str(config)])


def names(store: Store) -> dict[str, list[str]]:
    with store.read() as conn:
        return {
            "owners": [one.name for one in people.list_owners(conn)],
            "devices": [one.name for one in list_devices(conn)],
            "relatives": [one.name for one in people.list_relatives(conn)],
            "units": units.list_units(conn),
            "operators": [one.name for one in operators.list_operators(conn)],
        }


def test_every_kind_comes_from_a_file_as_a_spreadsheet_writes_it(store: Store, tmp_path: Path) -> None:
    bring(store, OWNERS, '\ufeffName;Telephone\r\nToko Sinar;0241\r\n"Warung; Bu Ani";\r\n;\r\n', tmp_path)
    text = "name;owner;silent;lat;lon\na;Toko Sinar;ya;-6,98;110,41\nb;;;;\n"
    assert bring(store, DEVICES, text, tmp_path).rows == 2
    bring(store, RELATIVES, "owner,name,channel,tests\nToko Sinar,Budi,mailto://u:p@example.org,yes\n", tmp_path)
    bring(store, UNITS, "name,area,lat,lon\nPatroli 1,Simpang Lima,-6.99,110.42\nPatroli 2,,,\n", tmp_path)
    report = bring(store, OPERATORS, "name,role,language\nSiti,administrator,en\nBudi,,\n", tmp_path)
    assert names(store) == {
        "owners": ["Toko Sinar", "Warung; Bu Ani"],
        "devices": ["a", "b"],
        "relatives": ["Budi"],
        "units": ["Patroli 1", "Patroli 2"],
        "operators": ["Budi", "Siti"],
    }
    with store.read() as conn:
        first, second = list_devices(conn)
        assert (first.silent, first.site_lat_e7, first.site_lon_e7) == (True, -69800000, 1104100000)
        assert (second.silent, second.owner_id) == (False, None)
        assert first.owner_id == people.find_owner(conn, "Toko Sinar").id
        assert len({first.root_key, second.root_key, b""}) == 3
        (budi,) = people.list_relatives(conn)
        assert (budi.channel, budi.wants_tests, budi.owner_id) == ("mailto://u:p@example.org", True, first.owner_id)
        post = units.find_unit(conn, "Patroli 1")
        assert (post.area, post.lat_e7, post.lon_e7) == ("Simpang Lima", -69900000, 1104200000)
        found, hashed = operators.find_hash(conn, "Siti")
    assert found is not None
    assert (found.role, found.language) == ("administrator", "en")
    assert operators.is_password(report.passwords["Siti"], hashed)
    assert report.passwords["Siti"] != report.passwords["Budi"]


@pytest.mark.parametrize(
    ("kind", "text", "mistakes"),
    [
        (
            DEVICES,
            "name,owner\nok,\nBad Name,\nd,Nobody\n",
            [(3, "name", "the device name 'Bad Name' does not fit"), (4, "owner", "there is no owner named Nobody")],
        ),
        (DEVICES, "name,silent\na,perhaps\n", [(2, "silent", "silent is 'perhaps', not yes or no")]),
        (DEVICES, "name,lat,lon\na,north,1\n", [(2, "lat", "'north' is not a number of degrees")]),
        (DEVICES, "name,lat,lon\na,1,\n", [(2, "lon", "the site's position is half given")]),
        (DEVICES, "name,lat,lon\na,1,181\n", [(2, "lon", "the site's longitude 181.0 is not on Earth")]),
        (DEVICES, "name\na\n\na\n", [(4, "name", "the device name a is taken")]),
        (DEVICES, "name\nold\n", [(2, "name", "the device name old was used by a revoked device")]),
        (DEVICES, "name,owner\na\n", [(2, "", "it has 1 values, and the heading 2")]),
        (DEVICES, 'name\n"a\n', [(2, "", "it cannot be read: unexpected end of data")]),
        (OWNERS, "name,telephone\nA,call me\n", [(2, "telephone", "the telephone number 'call me' does not fit")]),
        (OWNERS, "name,language\nA,jv\n", [(2, "language", "the language 'jv' is unknown")]),
        (OWNERS, f"name,message\nA,{'x' * 501}\n", [(2, "message", "the registered message has 501 characters")]),
        (RELATIVES, "owner,name,channel\nToko,Ani,0812\n", [(2, "channel", "the channel of Ani is not an address")]),
        (RELATIVES, "owner,name,channel\n,Ani,x://abc\n", [(2, "owner", "the owner name '' does not fit")]),
        (UNITS, "name,lat,lon\nP,91,1\n", [(2, "lat", "the unit's latitude 91.0 is not on Earth")]),
        (UNITS, f"name,area\nP,{'x' * 101}\n", [(2, "area", "the area has 101 characters")]),
        (OPERATORS, "name,role\nSiti,chief\n", [(2, "role", "the role 'chief' is unknown")]),
        (OPERATORS, "name,language\nSiti,jv\n", [(2, "language", "the language 'jv' is unknown")]),
    ],
)
def test_each_bad_row_is_named_and_nothing_is_added(
    store: Store, tmp_path: Path, kind: Kind, text: str, mistakes: list[tuple[int, str, str]]
) -> None:
    with store.write() as conn:
        people.add_owner(conn, name="Toko", now_us=NOW)
        add_device(conn, name="old", now_us=NOW)
        revoke_device(conn, "old", NOW)
    before = names(store)
    report = bring(store, kind, text, tmp_path)
    assert [(each.row, each.column, each.what) for each in report.mistakes] == mistakes
    assert all(each.todo for each in report.mistakes)
    assert names(store) == before


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name,colour\na,red\n", "row 1: the column 'colour' is unknown or double"),
        ("owner\na\n", "row 1: the column name is missing. The columns are name, owner, silent"),
        ("", "row 1: the column name is missing"),
    ],
)
def test_a_heading_that_does_not_fit(store: Store, tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(Problem, match=words.replace("(", r"\(")):
        bring(store, DEVICES, text, tmp_path)


def test_what_is_no_table_at_all(store: Store, tmp_path: Path) -> None:
    with pytest.raises(Problem, match="cannot be read"):
        import_file(store, OWNERS, tmp_path / "none.csv", NOW)
    (tmp_path / "latin.csv").write_bytes(b"name\nToko \xe9\n")
    with pytest.raises(Problem, match=r"byte 10 is not UTF-8. Save it as CSV UTF-8"):
        import_file(store, OWNERS, tmp_path / "latin.csv", NOW)


def test_mistakes_have_an_end(store: Store, tmp_path: Path) -> None:
    report = bring(store, DEVICES, "name\n" + "X\n" * (MOST_MISTAKES + 7), tmp_path)
    assert (len(report.mistakes), report.more) == (MOST_MISTAKES, 7)


def test_the_store_is_not_locked_while_rows_are_tried_and_what_changed_meanwhile_is_seen(store: Store) -> None:
    with store.write() as conn:
        people.add_owner(conn, name="Toko", now_us=NOW)
    with rehearsal(store) as tried:
        add_device(tried.conn, name="shop-1", owner="Toko", now_us=NOW)
        with store.write() as conn:  # an alarm would be committed here
            add_device(conn, name="shop-1", now_us=NOW)
        with pytest.raises(Problem, match="changed meanwhile"):
            tried.perform(store)
    assert names(store)["devices"] == ["shop-1"]
    with rehearsal(store) as tried:
        add_device(tried.conn, name="shop-2", owner="Toko", now_us=NOW)
        with store.write() as conn:
            people.revoke_owner(conn, "Toko", NOW)
        with pytest.raises(Problem, match="changed meanwhile"):
            tried.perform(store)
    assert names(store)["devices"] == ["shop-1"]


def test_a_unit_that_was_revoked_comes_back_with_its_new_post(store: Store, tmp_path: Path) -> None:
    with store.write() as conn:
        units.add_unit(conn, "Patroli 1", NOW, area="Lama")
        units.revoke_unit(conn, "Patroli 1", NOW)
    bring(store, UNITS, "name,area\nPatroli 1,Baru\n", tmp_path)
    with store.read() as conn:
        (found,) = units.every_unit(conn)
    assert (found.area, found.revoked) == ("Baru", False)


def test_a_dry_run_says_what_is_wrong_and_adds_nothing(config: Path, store: Store, tmp_path: Path) -> None:
    file = tmp_path / "shops.csv"
    file.write_text("name,owner,lat,lon\nshop-1,,,\nShop 2,,,\nshop-3,Toko,1,2\n")
    done = call(config, "device", "import", str(file), "--dry-run")
    assert isinstance(done.exception, Problem)
    assert done.exception.exit_code == USAGE
    assert "2 rows are wrong, and nothing was added" in str(done.exception)
    lines = done.output.splitlines()
    assert lines[0].startswith("row 3, column name: the device name 'Shop 2' does not fit. Use 1 to 64 of a-z")
    assert lines[1].startswith("row 4, column owner: there is no owner named Toko. Add one with `sigap owner add`.")
    said = json.loads(call(config, "device", "import", str(file), "--json").output)
    assert (said["added"], said["good"], said["bad"]) == (0, 1, 2)
    assert [(each["row"], each["column"]) for each in said["mistakes"]] == [(3, "name"), (4, "owner")]
    file.write_text("name\nshop-1\nshop-2\n")
    assert call(config, "device", "import", str(file), "--dry-run").output.startswith("2 devices would be added")
    assert names(store)["devices"] == []
    # In earnest, with the logins at the broker.
    assert call(config, "device", "import", str(file)).output.startswith("added 2 devices; the broker")
    with store.read() as conn:
        ids = [device_name(one.id) for one in list_devices(conn)]
    passwords = (tmp_path / "var" / "broker" / "passwords").read_text()
    assert all(one in passwords for one in ids)
    call(config, "device", "revoke", "shop-1")
    assert ids[0] not in (tmp_path / "var" / "broker" / "passwords").read_text()


def test_operators_are_imported_with_passwords_in_a_file_of_their_own(
    config: Path, store: Store, tmp_path: Path
) -> None:
    file, out = tmp_path / "operators.csv", tmp_path / "passwords.csv"
    file.write_text("name,role\nSiti,chief\n")
    assert "no file for the passwords" in str(call(config, "operator", "import", str(file)).exception)
    done = call(config, "operator", "import", str(file), "--passwords", str(out))
    assert "row 2, column role: the role 'chief' is unknown. Use one of operator, administrator." in done.output
    assert not out.exists()
    file.write_text("name,role\nSiti,\n")
    assert call(config, "operator", "import", str(file), "--dry-run").exit_code == 0
    assert call(config, "operator", "import", str(file), "--passwords", str(out)).exit_code == 0
    assert out.stat().st_mode & 0o777 == 0o600
    (row,) = csv.DictReader(out.open())
    with store.read() as conn:
        assert operators.is_password(row["password"], operators.find_hash(conn, "Siti")[1])
    again = call(config, "operator", "import", str(file), "--passwords", str(out))
    assert "is there already" in str(again.exception)
    assert csv.DictReader(out.open()).fieldnames == ["name", "password"]


def test_every_kind_is_shown_and_listed_without_its_secrets(config: Path, store: Store) -> None:
    channel = "mailto://u:geheim@example.org"
    with store.write() as conn:
        people.add_owner(conn, name="Toko", telephone="024 1234", now_us=NOW)
        people.add_relative(conn, owner="Toko", name="Budi", channel=channel, now_us=NOW)
        key = add_device(conn, name="shop-1", owner="Toko", site_name="Pasar", now_us=NOW).root_key
        units.add_unit(conn, "Patroli 1", NOW, area="Pasar", lat=-6.99, lon=110.42)
        hashed = operators.hash_password("a long password")
        operators.add_operator(conn, name="Siti", password_hash=hashed, role="operator", now_us=NOW)
    shown = {}
    for group, arguments in {
        "owner": ["Toko"],
        "device": ["shop-1"],
        "relative": ["Toko", "Budi"],
        "unit": ["Patroli 1"],
        "operator": ["Siti"],
    }.items():
        text = call(config, group, "show", *arguments).output
        document = call(config, group, "show", *arguments, "--json").output
        listed = call(config, group, "list", "--json").output
        shown[group] = json.loads(document)
        assert arguments[-1] in text
        assert [one["name"] for one in json.loads(listed)] == [arguments[-1]]
        for secret in ("geheim", key.hex(), hashed):
            assert secret not in text + document + listed
        missing = call(config, group, "show", *arguments[:-1], "nobody")
        assert isinstance(missing.exception, Problem), missing.output
        assert missing.exception.todo
    assert shown["owner"]["devices"] == [{"name": "shop-1", "revoked": False}]
    assert [one["name"] for one in shown["owner"]["relatives"]] == ["Budi"]
    assert (shown["device"]["owner"], shown["device"]["online"], shown["device"]["incidents"]) == ("Toko", None, [])
    assert (shown["relative"]["waiting"], shown["relative"]["last_told_at"]) == (0, None)
    assert (shown["unit"]["area"], shown["unit"]["lat"]) == ("Pasar", -6.99)
    assert (shown["operator"]["role"], shown["operator"]["sessions"]) == ("operator", 0)
    assert "\nwaiting        0\n" in call(config, "relative", "show", "Toko", "Budi").output
    assert "\nsilent         no\n" in call(config, "device", "show", "shop-1").output
    for group, arguments in (("unit", ["Patroli 1"]), ("operator", ["Siti"]), ("relative", ["Toko", "Budi"])):
        assert call(config, group, "revoke", *arguments).exit_code == 0
    assert json.loads(call(config, "unit", "list", "--json").output)[0]["revoked"] is True


def test_every_command_teaches_by_an_example_and_is_in_the_administrators_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for name, group in GROUPS.items():
        assert isinstance(group, click.Group)
        assert {"add", "import", "list", "show", "revoke"} <= set(group.commands)
        assert f"sigap {name} " in (group.help or "")
        for verb in ("import", "show"):
            assert f"sigap {name} {verb} " in (group.commands[verb].help or "")
            assert f"sigap {name} {verb}" in page
    for kind in KINDS:
        assert f"| {kind.name} | `{'`, `'.join(kind.columns)}` |" in page
