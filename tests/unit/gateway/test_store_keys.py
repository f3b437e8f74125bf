"""Device keys in the database: wrapped under the master key, whatever happens to its file meanwhile."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from gateway.commands.keys import key
from gateway.registry.devices import Device, add_device, get_device, list_devices
from gateway.store import keys, rotation
from gateway.store.engine import Store, open_store, sqlite_url
from sigap.problem import Problem


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sigap.db"


def add(store: Store, name: str) -> Device:
    with store.write() as conn:
        return add_device(conn, name=name, now_us=1)


def found(store: Store, device: Device) -> bytes:
    with store.read() as conn:
        got = get_device(conn, device.id)
    assert got is not None
    return got.root_key


def on_disk(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.iterdir() if file.name.startswith("sigap.db"))


def test_a_copy_of_the_database_holds_no_root_key(path: Path) -> None:
    with open_store(sqlite_url(path)) as store:
        device = add(store, "shop-1")
        assert found(store, device) == device.root_key
        assert device.root_key not in on_disk(path.parent)
        # The same key twice is not the same bytes.
        raw = sa.text("SELECT root_key FROM devices")
        with store.write() as conn:
            add_device(conn, name="shop-2", now_us=1, root_key=device.root_key)
            assert len(set(conn.execute(raw).scalars())) == 2
    assert stat.S_IMODE((path.parent / keys.FILE).stat().st_mode) == 0o600


def test_a_missing_or_foreign_master_key_is_a_clear_error_and_a_returned_one_opens(path: Path, tmp_path: Path) -> None:
    with open_store(sqlite_url(path)) as store:
        device = add(store, "shop-1")
    own, away = path.parent / keys.FILE, tmp_path / "away"
    own.rename(away)
    with pytest.raises(Problem, match=r"the master key .*master\.key is missing\. Put it there from where you keep it"):
        open_store(sqlite_url(path))
    assert not own.exists(), "no new key is made where an old one is wanted"
    with open_store(sqlite_url(tmp_path / "other" / "sigap.db")) as other:
        add(other, "shop-1")
    own.write_bytes((tmp_path / "other" / keys.FILE).read_bytes())
    with pytest.raises(Problem, match=r"wrapped under the master key [0-9a-f]{8}, and .* is [0-9a-f]{8}"):
        open_store(sqlite_url(path))
    own.write_text("not a key")
    with pytest.raises(Problem, match=r"is no master key\. It is one line"):
        open_store(sqlite_url(path))
    own.unlink()
    asked = f"{sqlite_url(path)}?master_key={away}"
    with open_store(asked) as store:
        assert found(store, device) == device.root_key


def test_a_key_file_that_others_could_read_is_closed(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    open_store(sqlite_url(path)).close()
    own = path.parent / keys.FILE
    own.chmod(0o644)
    open_store(sqlite_url(path)).close()
    assert stat.S_IMODE(own.stat().st_mode) == 0o600
    assert "was open to other users (mode 0644) and is 0600 now" in caplog.text


def test_rotation_wraps_every_key_anew_under_an_open_store(path: Path) -> None:
    with open_store(sqlite_url(path)) as running, open_store(sqlite_url(path)) as command:
        devices = [add(running, f"shop-{number}") for number in range(20)]
        before = on_disk(path.parent)
        done = rotation.rotate(command)
        assert done.devices == 20
        assert rotation.wrapped_under(running) == {done.id: 20}
        assert keys.key_id(keys.read_key(done.kept) or b"").hex() == done.before != done.id
        # The one that was open all the time, and whose keyring is older.
        assert [found(running, device) for device in devices] == [device.root_key for device in devices]
        assert found(running, add(running, "shop-new"))
        assert rotation.wrapped_under(command) == {done.id: 21}, "it wraps under the new one from then on"
        assert bytes.fromhex(done.before) in before
    with open_store(sqlite_url(path)) as store, store.read() as conn:
        assert len(list_devices(conn)) == 21


@pytest.mark.parametrize("moment", ["before the new key is written", "before the commit"])
def test_a_rotation_that_is_cut_off_loses_no_key(path: Path, moment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Cut(BaseException):
        pass

    def cut(*arguments: object) -> int:
        if moment == "before the commit":
            wrap_anew(*arguments)  # type: ignore[arg-type]
        raise Cut

    wrap_anew = rotation._wrap_anew
    with open_store(sqlite_url(path)) as store:
        device = add(store, "shop-1")
        monkeypatch.setattr(rotation, "_wrap_anew", cut)
        with pytest.raises(Cut):
            rotation.rotate(store)
        monkeypatch.setattr(rotation, "_wrap_anew", wrap_anew)
    with open_store(sqlite_url(path)) as store:
        assert found(store, device) == device.root_key
        done = rotation.rotate(store)
        assert found(store, device) == device.root_key
        assert rotation.wrapped_under(store) == {done.id: 1}


def test_one_damaged_key_is_its_devices_problem_alone(path: Path) -> None:
    with open_store(sqlite_url(path)) as store:
        one, other = add(store, "shop-1"), add(store, "shop-2")
        with store.write() as conn:
            conn.execute(sa.text("UPDATE devices SET root_key = x'00' WHERE id = :id"), {"id": one.id})
        assert found(store, other) == other.root_key
        with pytest.raises(keys.KeyProblem):
            found(store, one)
    with open_store(sqlite_url(path)) as store:
        assert found(store, other) == other.root_key


def test_the_command_line(tmp_path: Path) -> None:
    config = tmp_path / "sigap.toml"
    config.write_text('[store]\nmaster_key = "elsewhere/master.key"\n')
    run = CliRunner()
    shown = json.loads(run.invoke(key, ["show", "--json", "--config", str(config)]).output)
    assert shown["file"] == str(tmp_path / "elsewhere" / "master.key")
    assert (tmp_path / "elsewhere" / "master.key").exists()
    rotated = json.loads(run.invoke(key, ["rotate-master", "--json", "--config", str(config)]).output)
    assert rotated["before"] == shown["id"] != rotated["id"]
    said = run.invoke(key, ["show", "--config", str(config)]).output
    assert rotated["id"] in said
    assert keys.read_key(tmp_path / "elsewhere" / "master.key").hex() not in said  # type: ignore[union-attr]
