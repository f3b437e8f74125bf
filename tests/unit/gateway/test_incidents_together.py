"""Alarms of one emergency are one incident: joined by the gateway, merged and split by operators, and every row is what
the events say, whatever happened in whatever order."""

from __future__ import annotations

import atexit
import functools
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.commands.views import incidents
from gateway.incidents.book import Book, Taken
from gateway.incidents.events import history
from gateway.incidents.facts import cancel_says
from gateway.incidents.joining import SITE_RADIUS_M, SITE_WITHIN_US
from gateway.incidents.merging import CannotBeMoved
from gateway.incidents.rebuild import check, rebuild
from gateway.incidents.stages import DISPATCHED, ON_SCENE, STAGES, STATES
from gateway.registry.devices import Device, add_device, get_device, list_devices, revoke_device
from gateway.registry.people import add_owner, add_relative
from gateway.store import schema
from gateway.store.engine import open_store
from panic_wire.frames import ALARM, TEST, Alarm, Cancel, Header
from panic_wire.topics import device_name

NOW, S = 1_790_000_000_000_000, 1_000_000
LAT, LON = -6.98, 110.41
METRE = 1 / 111_195  # degrees
BOOK = Book(["police"], "test")
ANI = "operator:Ani"


@functools.cache
def _built() -> Path:
    """A database with these devices, made once: its schema takes longer than most tests."""
    folder = Path(tempfile.mkdtemp(prefix="sigap-town-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = folder / "sigap.db"
    with open_store(f"sqlite:///{path}") as store, store.write() as conn:
        for owner in ("Toko", "Warung", "Warga"):
            add_owner(conn, name=owner, now_us=NOW)
            channel = "mailto://127.0.0.1:1/?from=a@example.org&to=b@example.org"
            add_relative(conn, owner=owner, name="Budi", channel=channel, now_us=NOW)
        for name, owner, north_m in (
            ("till", "Toko", 0),
            ("back", "Toko", SITE_RADIUS_M - 1),
            ("branch", "Toko", -SITE_RADIUS_M - 1),
            ("next", "Warung", 5),
            ("carried", "Warga", None),
        ):
            site: dict[str, Any] = {}
            if north_m is not None:
                site = {"site_lat": LAT + north_m * METRE, "site_lon": LON, "site_name": name}
            add_device(conn, name=name, owner=owner, now_us=NOW, **site)
    return path


class Town:
    """Two buttons of a shop (till and back room), one at its other branch, one of the neighbours, one of somebody."""

    def __init__(self, path: Path) -> None:
        shutil.copy(_built(), path)
        self.store, self.counter = open_store(f"sqlite:///{path}"), 0
        with self.store.read() as conn:
            self.devices: dict[str, Device] = {one.name: one for one in list_devices(conn)}

    def press(
        self,
        name: str,
        activation: int = 1,
        at: int = NOW,
        kind: int = ALARM,
        counter: int | None = None,
        **alarm: Any,
    ) -> Taken:
        self.counter += 1
        with self.store.write() as conn:
            device = get_device(conn, self.devices[name].id)
            assert device is not None
            header = Header(kind, 0, device.id, 3, self.counter if counter is None else counter)
            return BOOK.take_alarm(conn, device, header, Alarm(activation, **alarm), at)

    def cancel(self, name: str, activation: int = 1, at: int = NOW, **cancel: Any) -> Taken | None:
        with self.store.write() as conn:
            device = get_device(conn, self.devices[name].id)
            assert device is not None
            return BOOK.take_cancel(conn, device, Cancel(activation, **cancel), at)

    def stage(self, incident: str, stage: str, at: int = NOW, actor: str = ANI, **data: Any) -> bool:
        with self.store.write() as conn:
            return BOOK.record_stage(conn, incident, stage, actor, data, at)

    def merge(self, incident: str, other: str, at: int = NOW) -> str:
        with self.store.write() as conn:
            return BOOK.merge(conn, incident, other, ANI, at)

    def split(self, incident: str, name: str, at: int = NOW) -> str:
        with self.store.write() as conn:
            return BOOK.split(conn, incident, self.devices[name].id, ANI, at)

    def revoke(self, name: str) -> None:
        with self.store.write() as conn:
            revoke_device(conn, name, NOW)

    def row(self, incident: str) -> sa.Row:
        with self.store.read() as conn:
            return conn.execute(sa.select(schema.incidents).where(schema.incidents.c.id == incident)).one()

    def rows(self, table: sa.Table) -> list[dict[str, Any]]:
        with self.store.read() as conn:
            return [dict(row) for row in conn.execute(sa.select(table).order_by(*table.primary_key)).mappings()]

    def kinds(self, incident: str) -> list[str]:
        with self.store.read() as conn:
            return [event.kind for event in history(conn, incident)]

    def told(self, to: str) -> list[dict[str, Any]]:
        """What was put into the outbox for a destination, the oldest first."""
        query = sa.select(schema.deliveries).where(schema.deliveries.c.destination == to)
        with self.store.read() as conn:
            found = conn.execute(query.order_by(schema.deliveries.c.id)).all()
        return [{"kind": row.kind, "to": row.incident_id, **json.loads(row.payload)} for row in found]

    def lights(self, name: str) -> list[tuple[int, str]]:
        found = self.told(f"device:{device_name(self.devices[name].id)}")
        return [(each["activation"], each["stage"]) for each in found]

    def police(self) -> list[tuple[str, str, str | None]]:
        """(kind of event, incident, the other incident) of what the police system was told."""
        return [
            (each["type"].split(".")[3], each["subject"], each["data"]["other_incident"])
            for each in self.told("backend:police")
        ]


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    one = Town(tmp_path / "sigap.db")
    yield one
    one.store.close()


def test_two_buttons_of_one_site_are_one_emergency(town: Town) -> None:
    first = town.press("till").incident_id
    town.stage(first, "acknowledged")
    joined = town.press("back", at=NOW + 60 * S)
    assert (joined.incident_id, joined.stage_to_tell) == (first, "acknowledged")
    assert town.kinds(first) == ["opened", "acknowledged", "alarm_joined"]
    apart = [town.press(name, at=NOW + 61 * S).incident_id for name in ("branch", "next", "carried")]
    assert len({first, *apart}) == 4
    data = town.told("backend:police")[2]["data"]
    assert (data["device_name"], data["change"]) == ("till", "alarm_joined")
    assert [each["device_name"] for each in data["other_devices"]] == ["back"]
    assert len(data["alarms"]) == 2
    assert len(town.told("relative:1")) == 2  # of Toko: the shop, and its branch; not the second button again


@pytest.mark.parametrize(
    ("at", "more"),
    [
        (NOW + SITE_WITHIN_US + S, {}),
        (NOW + 5 * S, {"age_ms": 1000 * (SITE_WITHIN_US // S + 10)}),  # late: it was pressed long before
        (NOW + S, {"moved": True}),
        (NOW + S, {"kind": TEST}),
    ],
)
def test_what_is_not_surely_one_emergency_stays_apart(town: Town, at: int, more: dict[str, Any]) -> None:
    first = town.press("till").incident_id
    assert town.press("back", at=at, **more).incident_id != first


def test_pressing_again_raises_the_urgency_until_somebody_has_seen_it(town: Town) -> None:
    incident = town.press("till").incident_id
    assert town.row(incident).raised == 0
    town.press("till", 2)
    assert town.row(incident).raised == 1
    town.stage(incident, "dispatched", unit="Patroli 1")
    assert town.row(incident).raised == 0
    town.press("till", 3)
    assert town.stage(incident, "acknowledged")
    assert not town.stage(incident, "acknowledged")
    assert (town.row(incident).raised, town.row(incident).state) == (0, "dispatched")
    assert town.kinds(incident)[-2:] == ["seen", "refused"]
    assert town.lights("till") == [(1, "dispatched"), (2, "dispatched")]  # no light goes back


def test_a_merge_takes_no_stage_back_and_tells_everybody_their_own(town: Town) -> None:
    shop, person = town.press("next").incident_id, town.press("carried", at=NOW + S).incident_id
    town.stage(person, "dispatched", unit="Patroli 1")
    assert town.merge(shop, person, NOW + 9 * S) == shop
    gone, kept = town.row(person), town.row(shop)
    assert (gone.state, gone.disposition, gone.merged_into) == ("closed", None, shop)
    assert (kept.state, kept.merged_into) == ("dispatched", None)
    assert (town.lights("next"), town.lights("carried")) == ([(1, "dispatched")], [(1, "dispatched")])
    warung, warga = (town.told(f"relative:{number}") for number in (2, 3))
    assert [each["change"] for each in warung] == [each["change"] for each in warga] == ["opened", "dispatched"]
    assert town.police()[-2:] == [("merged", person, shop), ("updated", shop, person)]
    # From now on each person has the stages of the one incident, and relatives read of their own only.
    town.stage(shop, "closed", disposition="genuine")
    assert town.lights("carried")[-1] == (1, "closed")
    for told, owner in ((town.told("relative:2"), "Warung"), (town.told("relative:3"), "Warga")):
        assert (told[-1]["change"], told[-1]["data"]["owner"]["name"]) == ("closed", owner)
        assert len(told[-1]["data"]["alarms"]) == 1
        assert told[-1]["data"]["other_devices"] == []


def test_what_comes_late_of_a_merged_incident_goes_where_it_went(town: Town) -> None:
    kept, gone = town.press("next").incident_id, town.press("carried", at=NOW + S).incident_id
    town.merge(kept, gone)
    # The police system has not heard of the merge yet.
    assert town.stage(gone, "dispatched", actor="backend:police", unit="Patroli 1")
    assert town.row(kept).state == "dispatched"
    assert town.lights("carried") == [(1, "dispatched")]
    assert not town.stage(gone, "closed", actor="backend:police", disposition="false")  # it closes its double
    assert town.row(kept).state == "dispatched"
    assert town.kinds(gone) == ["opened", "merged_into", "refused"]
    town.stage(gone, "accepted", actor="backend:police")
    assert (town.row(gone).accepted, town.row(kept).accepted) == (True, False)
    late = town.press("carried", 1, at=NOW + 9 * S, age_ms=8000, lat_e7=-69_000_000, lon_e7=1_100_000_000)
    assert (late.incident_id, late.stage_to_tell) == (kept, "dispatched")
    assert town.press("carried", 2, at=NOW + 9 * S).incident_id == kept
    # And a second merge on top of it.
    last = town.press("branch").incident_id
    town.merge(last, kept)
    assert town.stage(gone, "on_scene", actor="backend:police")
    assert town.row(last).state == "on_scene"


def test_a_split_begins_anew_and_says_what_was_promised(town: Town) -> None:
    both = town.press("till").incident_id
    town.press("back", at=NOW + S)
    town.press("till", 2, at=NOW + 2 * S)
    town.stage(both, "dispatched", unit="Patroli 1")
    apart = town.split(both, "till", NOW + 9 * S)
    assert (town.row(apart).state, town.row(apart).promised) == ("open", True)
    assert (town.row(both).state, town.row(both).promised) == ("dispatched", False)
    assert town.row(both).device_id == town.devices["back"].id  # it goes by the button that is left
    assert town.police()[-2:] == [("opened", apart, both), ("split", both, apart)]
    data = town.told("backend:police")[-1]["data"]
    assert (data["device_name"], len(data["alarms"]), data["other_devices"]) == ("back", 1, [])
    # Each button goes on in its own.
    assert town.press("till", 3, at=NOW + 10 * S).incident_id == apart
    assert town.press("back", 2, at=NOW + 10 * S).incident_id == both
    town.stage(both, "closed", disposition="genuine")
    assert "closed" not in [stage for _, stage in town.lights("till")]
    town.stage(apart, "dispatched", unit="Patroli 2")
    assert not town.row(apart).promised


def test_what_cannot_be_merged_or_split_says_why_and_changes_nothing(town: Town) -> None:
    one, test = town.press("till").incident_id, town.press("carried", kind=TEST).incident_id
    closed = town.press("next").incident_id
    town.stage(closed, "closed", disposition="false")
    for other, why in ((one, "itself"), (test, "stay apart"), (closed, "closed")):
        with pytest.raises(CannotBeMoved, match=why):
            town.merge(one, other)
    for name in ("till", "back"):
        with pytest.raises(CannotBeMoved, match="nothing to split"):
            town.split(one, name)
    assert town.kinds(one) == ["opened"]


def test_one_of_two_who_says_it_was_a_mistake_does_not_speak_for_the_other(town: Town) -> None:
    incident = town.press("till").incident_id
    town.press("back", at=NOW + S)

    def says() -> str | None:
        return cancel_says(town.rows(schema.alarms))

    town.cancel("back")
    assert says() == "others_in_danger"
    town.cancel("till")
    assert says() == "mistake"
    town.press("till", 2, at=NOW + 9 * S)
    assert says() == "still_in_danger"
    assert town.row(incident).state == "open"


def test_a_revoked_button_is_shown_and_nobody_is_told_until_an_operator_sends_somebody(town: Town) -> None:
    town.revoke("carried")
    incident = town.press("carried").incident_id
    assert town.row(incident).held
    assert town.press("carried", 2).incident_id == incident
    town.stage(incident, "acknowledged")
    assert (town.told("backend:police"), town.told("relative:3")) == ([], [])
    town.stage(incident, "dispatched", unit="Patroli 1")
    (event,) = town.told("backend:police")
    assert (event["type"], event["data"]["state"]) == ("id.sigap.incident.opened.v1", "dispatched")
    assert event["data"]["device_revoked"] is True
    assert [each["change"] for each in town.told("relative:3")] == ["dispatched"]
    # Closed without sending anybody, it stays inside; and no other button joins it.
    town.revoke("till")
    held = town.press("till").incident_id
    assert town.press("back").incident_id != held
    town.stage(held, "closed", disposition="false")
    assert held not in [subject for _, subject, _ in town.police()]


def test_what_was_lost_of_the_rows_comes_back_from_the_events(town: Town) -> None:
    first = town.press("till", silent=True, battery_mv=3900).incident_id
    town.press("next", at=NOW + S)
    town.merge(first, town.press("carried", at=NOW + 2 * S).incident_id)
    before = town.rows(schema.alarms), town.rows(schema.incidents)
    with town.store.write() as conn:
        conn.execute(schema.alarms.delete())
        conn.execute(schema.incidents.update().values(state="on_scene", merged_into=None, held=True))
    found = check(town.store)
    assert {each.what for each in found.differences} >= {"state", "merged_into", "held"}
    assert rebuild(town.store).differences == found.differences
    assert check(town.store).differences == []
    assert (town.rows(schema.alarms), town.rows(schema.incidents)) == before


def test_the_command_says_what_differs_and_mends_it(town: Town, tmp_path: Path) -> None:
    incident = town.press("till").incident_id
    config = tmp_path / "sigap.toml"
    config.write_text(f'[store]\nurl = "sqlite:///{town.store.path}"\n')

    def call(*arguments: str) -> Result:
        return CliRunner().invoke(incidents, ["rebuild", *arguments, "--config", str(config)])

    assert call("--check").output == "1 incidents: 0 differences\n"
    with town.store.write() as conn:
        conn.execute(schema.incidents.update().values(state="closed"))
    done = call("--check")
    assert f"{incident} state: the row has 'closed', the events say 'open'" in done.output
    assert "differ from what the events say" in str(done.exception)
    assert town.row(incident).state == "closed"  # it changes nothing
    mended = json.loads(call("--json").output)
    assert (mended["left"], [each["what"] for each in mended["differences"]]) == (0, ["state"])
    assert town.row(incident).state == "open"


class Emergencies(RuleBasedStateMachine):
    """Everything that can happen to incidents, in any order; beside it the plainest model of who is where."""

    names = st.sampled_from(["till", "back", "next", "carried"])
    tests = st.sampled_from([False] * 5 + [True])
    fixes = st.none() | st.tuples(st.integers(-3, 3), st.integers(-3, 3))

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.town = Town(Path(self.folder.name) / "sigap.db")
        self.now = NOW
        self.pressed: dict[str, int] = {}
        self.home: dict[tuple[str, int], str] = {}
        self.answered: dict[tuple[str, int], str] = {}

    def teardown(self) -> None:
        alarms, incidents = self.town.rows(schema.alarms), self.town.rows(schema.incidents)
        with self.town.store.write() as conn:
            conn.execute(schema.alarms.delete())
            conn.execute(schema.incidents.update().values(state="open", raised=9, changed_at=0, merged_into="?"))
        rebuild(self.town.store)
        newest = {"counter", "battery_mv", "told_lat_e7", "told_lon_e7", "told_accuracy_m"}
        for before, after in zip(alarms, self.town.rows(schema.alarms), strict=True):
            assert {k: v for k, v in before.items() if k not in newest} == {
                k: v for k, v in after.items() if k not in newest
            }
        assert self.town.rows(schema.incidents) == incidents
        self.town.store.close()
        self.folder.cleanup()

    def _later(self) -> int:
        self.now += 20 * S
        return self.now

    def _draw(self, data: st.DataObject, *, is_open: bool = True) -> str:
        ids = [row["id"] for row in self.town.rows(schema.incidents) if row["state"] != "closed" or not is_open]
        return data.draw(st.sampled_from(sorted(ids)))

    @property
    def states(self) -> dict[str, str]:
        return {row["id"]: row["state"] for row in self.town.rows(schema.incidents)}

    @rule(
        name=names, age_ms=st.integers(0, 60_000), silent=st.booleans(), is_test=st.sampled_from([False] * 5 + [True])
    )
    def press(self, name: str, age_ms: int, silent: bool, is_test: bool) -> None:
        self.pressed[name] = activation = self.pressed.get(name, 0) + 1
        before = self.states
        of_mine = {self.home[key] for key in self.home if key[0] == name and before[self.home[key]] != "closed"}
        kind = TEST if is_test else ALARM
        taken = self.town.press(name, activation, self._later(), kind, age_ms=age_ms, silent=silent)
        assert taken.new
        if not is_test and any(not self.town.row(each).test for each in of_mine):
            assert taken.incident_id in of_mine
        self.home[name, activation] = taken.incident_id
        self._answered((name, activation), taken)

    def _answered(self, key: tuple[str, int], taken: Taken) -> None:
        if taken.stage_to_tell is not None:
            told = [taken.stage_to_tell, self.answered.get(key, STAGES[0])]
            self.answered[key] = max(told, key=STAGES.index)

    @precondition(lambda self: self.home)
    @rule(data=st.data(), ahead=st.integers(-3, 3), age_ms=st.integers(0, 90_000), fix=fixes)
    def repeat(self, data: st.DataObject, ahead: int, age_ms: int, fix: tuple[int, int] | None) -> None:
        key = data.draw(st.sampled_from(sorted(self.home)))
        before = self._alarm(key)
        position = {} if fix is None else {"lat_e7": fix[0], "lon_e7": fix[1], "fix_age_s": 0}
        kind = TEST if self.town.row(self.home[key]).test else ALARM
        counter = max(0, before.counter + ahead)
        taken = self.town.press(*key, self._later(), kind, counter, age_ms=age_ms, **position)
        assert (taken.new, taken.incident_id) == (False, self.home[key])
        self._answered(key, taken)
        after = self._alarm(key)
        assert after.pressed_at == min(before.pressed_at, self.now - age_ms * 1000)
        assert after.counter == max(before.counter, counter)
        if counter <= before.counter and before.lat_e7 is not None:  # an older frame
            assert (after.lat_e7, after.lon_e7) == (before.lat_e7, before.lon_e7)
        elif fix is not None:
            assert (after.lat_e7, after.lon_e7) == fix

    def _alarm(self, key: tuple[str, int]) -> sa.Row:
        of = (schema.alarms.c.device_id == self.town.devices[key[0]].id, schema.alarms.c.activation == key[1])
        with self.town.store.read() as conn:
            return conn.execute(sa.select(schema.alarms).where(*of)).one()

    @rule()
    def revoke(self) -> None:
        self.town.revoke("next")

    @precondition(lambda self: self.home)
    @rule(data=st.data(), duress=st.booleans(), age_ms=st.integers(0, 60_000))
    def cancel(self, data: st.DataObject, duress: bool, age_ms: int) -> None:
        key = data.draw(st.sampled_from(sorted(self.home)))
        was = self.states[self.home[key]]
        taken = self.town.cancel(*key, self._later(), duress=duress, age_ms=age_ms)
        assert taken is not None
        if taken.incident_id != self.home[key]:  # it was closed too early
            assert (duress, was) == (True, "closed")
            self.home[key] = taken.incident_id
        assert self.states[taken.incident_id] == was or was == "closed"  # closes nothing

    @precondition(lambda self: self.home)
    @rule(data=st.data(), stage=st.sampled_from(STAGES), actor=st.sampled_from([ANI, "backend:police"]))
    def stage(self, data: st.DataObject, stage: str, actor: str) -> None:
        incident = self._draw(data, is_open=False)
        said = {"disposition": "genuine"} if stage == "closed" else {}
        self.town.stage(incident, stage, self._later(), actor, **said)

    @precondition(lambda self: self.home)
    @rule(data=st.data())
    def merge(self, data: st.DataObject) -> None:
        one, other = self._draw(data, is_open=False), self._draw(data, is_open=False)
        try:
            kept = self.town.merge(one, other, self._later())
        except CannotBeMoved:
            rows = [self.town.row(each) for each in (one, other)]
            assert one == other or rows[0].test != rows[1].test or "closed" in (rows[0].state, rows[1].state)
            return
        self.home = {key: kept if home in (one, other) else home for key, home in self.home.items()}

    @precondition(lambda self: self.home)
    @rule(data=st.data())
    def split(self, data: st.DataObject) -> None:
        name, activation = data.draw(st.sampled_from(sorted(self.home)))
        incident = self.home[name, activation]
        here = {key[0] for key, home in self.home.items() if home == incident}
        try:
            new = self.town.split(incident, name, self._later())
        except CannotBeMoved:
            assert len(here) == 1 or self.states[incident] == "closed"
            return
        self.home = {key: new if home == incident and key[0] == name else home for key, home in self.home.items()}

    @invariant()
    def rows_are_what_events_say(self) -> None:
        assert check(self.town.store).differences == []

    @invariant()
    def every_alarm_is_where_it_belongs_and_its_light_is_true(self) -> None:
        """A light says what its incident is at, or more than that only where the desk is told so."""
        names = {device.id: name for name, device in self.town.devices.items()}
        with self.town.store.read() as conn:
            alarms = conn.execute(sa.select(schema.alarms)).all()
            incidents = {row.id: row for row in conn.execute(sa.select(schema.incidents))}
            told = schema.deliveries.c.payload
            payloads = conn.execute(sa.select(told).where(schema.deliveries.c.kind == "status")).scalars().all()
        assert {(names[row.device_id], row.activation): row.incident_id for row in alarms} == self.home
        light = dict(self.answered)
        for said in map(json.loads, payloads):
            key = names[int(said["device"], 16)], said["activation"]
            light[key] = max(said["stage"], light.get(key, STAGES[0]), key=STAGES.index)
        open_of: dict[tuple[str, bool], set[str]] = {}
        for (name, activation), home in self.home.items():
            row, shown = incidents[home], light.get((name, activation), "open")
            if row.state != "closed":
                open_of.setdefault((name, row.test), set()).add(home)
            if row.state in STATES[1:]:
                assert STAGES.index(shown) >= STAGES.index(row.state)
            if shown in (DISPATCHED, ON_SCENE) and row.state in ("open", "acknowledged"):
                assert row.promised
        assert all(len(found) == 1 for found in open_of.values())


TestEmergencies = Emergencies.TestCase
TestEmergencies.settings = settings(
    max_examples=12, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
