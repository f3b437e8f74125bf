"""Whatever happens to incidents in whatever order: every row is what the events say, and every light is true."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.incidents.book import Taken
from gateway.incidents.merging import CannotBeMoved
from gateway.incidents.rebuild import check, rebuild
from gateway.incidents.stages import DISPATCHED, ON_SCENE, STAGES, STATES
from gateway.store import schema
from panic_wire.frames import ALARM, TEST
from tests.unit.gateway.incident_town import ANI, NOW, S, Town


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
