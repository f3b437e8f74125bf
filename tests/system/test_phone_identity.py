"""What a phone may and may not: its own alarms by both bearers, nobody else's, and no flood that delays another."""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from gateway.commands.options import refresh_broker
from gateway.ingest import phone as contract
from gateway.ingest import quarantine
from gateway.phone.apps import key_of
from gateway.registry import phones
from gateway.registry.devices import revoke_device
from gateway.registry.people import add_owner, find_owner
from gateway.store.schema import alarms
from sigap.local import BROKER, GATEWAY, Local
from tests.system.local_lab import local, prepared, wait_until
from tests.system.phone_lab import Phone, ask

FLOOD = 400


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    with prepared(local(tmp_path_factory.mktemp("phones"), buttons=())) as found:
        found.start(BROKER, GATEWAY)
        wait_until(lambda: found.health().get("ok"), "a healthy gateway", 30)
        yield found


@pytest.fixture
def new_phone(one: Local) -> Iterator[Callable[[], Phone]]:
    made: list[Phone] = []

    def phone() -> Phone:
        made.append(Phone(one))
        return made[-1]

    yield phone
    for each in made:
        each.close()


def count(one: Local, phone: Phone) -> int:
    with one.store.read() as conn:
        query = sa.select(sa.func.count()).select_from(alarms).where(alarms.c.device_id == phone.id)
        return conn.execute(query).scalar_one()


def refused(one: Local) -> dict[str, int]:
    with one.store.read() as conn:
        return quarantine.summary(conn)


def test_both_bearers_carry_one_alarm(one: Local, new_phone: Callable[[], Phone]) -> None:
    phone = new_phone()
    status, down = phone.post(phone.message(activation=1, age_ms=40, position={"lat": -6.99, "lon": 110.42}))
    assert status == 200
    assert (down[0]["stage"], down[0]["activation"], down[0]["counter"]) == ("receipt", 1, 1)
    phone.connect()
    assert phone.publish(phone.message(activation=1, repeated=True)) == 0
    heard = phone.heard.get(timeout=10)
    assert (heard["stage"], heard["activation"], heard["counter"]) == ("receipt", 1, 2)
    assert count(one, phone) == 1
    # A test, a sign of life, a cancel.
    assert phone.post(phone.message("test", activation=2))[1][0]["stage"] == "receipt"
    assert phone.post(phone.message("heartbeat"))[1][0]["activation"] == 0
    assert phone.post(phone.message("cancel", activation=1))[1][0]["activation"] == 1
    assert phone.post(phone.message("cancel", activation=9))[1] == []  # of an alarm that is not here: said again later


def test_nobody_speaks_or_listens_for_another(one: Local, new_phone: Callable[[], Phone]) -> None:
    victim, thief = new_phone(), new_phone()
    thief.connect(also=contract.down(victim.name))
    before = refused(one)
    assert thief.publish(victim.message(activation=1), contract.up(victim.name)) == 135
    assert thief.publish(b"x", "sigap/v1/d/0000a1b2/up") == 135
    # Another's alarm, signed with one's own key, in one's own topic and by HTTPS.
    forged = thief.message(activation=1, phone=victim.name)
    assert thief.publish(forged) == 0
    assert ask(one, f"up?phone={victim.name}", thief.message(activation=1)) == (400, {"error": "bad-tag"})
    assert thief.post(forged)[0] == 400
    victim.post(victim.message(activation=1))
    victim.post(victim.message(activation=1, repeated=True))
    wait_until(lambda: refused(one).get("topic-mismatch", 0) >= before.get("topic-mismatch", 0) + 2, "both counted")
    assert refused(one)["bad-tag"] == before.get("bad-tag", 0) + 1
    assert count(one, victim) == 1
    with pytest.raises(queue.Empty):
        thief.heard.get(timeout=0.5)


def test_what_was_heard_yesterday_does_nothing(one: Local, new_phone: Callable[[], Phone]) -> None:
    phone = new_phone()
    jws = phone.message(activation=1)
    assert phone.post(jws)[0] == 200
    before = refused(one).get("replayed", 0)
    status, down = phone.post(jws)
    assert (status, down[0]["stage"]) == (200, "receipt")  # it may be the phone itself that asks
    assert count(one, phone) == 1
    assert refused(one)["replayed"] == before + 1


def test_bad_messages_are_counted_and_kept_aside(one: Local, new_phone: Callable[[], Phone]) -> None:
    phone = new_phone()
    good = phone.message(activation=1)
    header, payload, mac = good.split(b".")
    none = b"eyJhbGciOiJub25lIn0." + payload + b"."
    cases = {
        b"": "empty",
        b"noise": "bad-tag",
        none: "bad-tag",
        b".".join([header, payload[:-2] + b"AA", mac]): "bad-tag",
        b"x" * 1025: "too-long",
        phone.message("sos", activation=1): "bad-body",
        phone.message(activation=-1): "bad-body",
        phone.message(activation=1, position={"lat": 91, "lon": 0}): "bad-body",
        contract.signed(contract.mac_key(phone.root, phone.id, "up"), b"\xff{"): "bad-body",
    }
    for jws, reason in cases.items():
        before = refused(one).get(reason, 0)
        status, said = ask(one, f"up?phone={phone.name}", jws)
        assert (status, said) == (400, {"error": reason}), jws
        wait_until(lambda before=before, reason=reason: refused(one).get(reason, 0) == before + 1, reason)
    assert ask(one, "up?phone=../../x", good)[1] == {"error": "bad-topic"}
    assert ask(one, f"up?phone={phone.name}", b"x" * 10_000)[0] == 413
    # And the good one is as good as before.
    assert phone.post(good)[0] == 200


def test_an_enrolment_whose_answer_was_lost_is_the_same_phone(one: Local, new_phone: Callable[[], Phone]) -> None:
    phone = new_phone()
    status, said = phone.enrol("somebody")
    assert (status, said["phone"]) == (201, phone.name)
    phone.root = bytes(16)  # another's key, with an invitation that was used
    assert phone.enrol("somebody")[0] == 410


def test_nobody_else_has_a_phone_forgotten(one: Local, new_phone: Callable[[], Phone]) -> None:
    phone, thief = new_phone(), new_phone()
    said = json.dumps({"v": 1, "type": "forget", "phone": phone.name}).encode()
    asked = contract.signed(contract.mac_key(thief.root, thief.id, "up"), said)
    for jws in (asked, b"", b"noise", phone.message("heartbeat")):
        assert ask(one, f"forget?phone={phone.name}", jws)[0] == 400
    assert ask(one, "forget?phone=../x", asked)[0] == 400
    assert phone.post(phone.message("heartbeat"))[0] == 200


def test_a_lost_phone_is_out_at_once(one: Local, new_phone: Callable[[], Phone]) -> None:
    phone = new_phone()
    client = phone.connect()
    gone = threading.Event()
    client.on_disconnect = lambda *_: gone.set()
    began = time.monotonic()
    with one.store.write() as conn:
        revoke_device(conn, phone.device_name, 1)
    refresh_broker(one.settings, one.store)
    assert gone.wait(10), "the broker kept the connection of a revoked phone"
    print(f"\na revoked phone was out after {time.monotonic() - began:.2f} s")
    assert phone.post(phone.message("heartbeat")) == (400, [])
    # Whoever has it may be in danger all the same: the alarm is kept, and told to no police system.
    assert phone.post(phone.message(activation=1))[0] == 200
    assert count(one, phone) == 1


def test_a_flood_of_one_delays_no_other(one: Local, new_phone: Callable[[], Phone]) -> None:
    flooder, person = new_phone(), new_phone()
    client = flooder.connect()
    for _ in range(FLOOD):
        client.publish(contract.up(flooder.name), flooder.message(activation=1), qos=1)
    flood = [threading.Thread(target=lambda: flooder.post(flooder.message(activation=1))) for _ in range(20)]
    for each in flood:
        each.start()
    began = time.monotonic()
    status, down = person.post(person.message(activation=1))
    took_s = time.monotonic() - began
    assert (status, down[0]["stage"]) == (200, "receipt")
    for each in flood:
        each.join()
    print(f"\na person's receipt beside {FLOOD} messages of another: {took_s * 1000:.0f} ms")
    # However often it is said, it is one alarm; and nobody is turned away.
    wait_until(lambda: flooder.heard.qsize() >= 1, "the flooder's receipts")
    assert count(one, flooder) == 1


def test_killed_before_the_commit_it_is_asked_again(one: Local, new_phone: Callable[[], Phone]) -> None:
    phone = new_phone()
    phone.connect()
    one.processes.kill(GATEWAY)
    phone.publish(phone.message(activation=1))  # it waits at the broker
    one.start(GATEWAY)
    wait_until(lambda: one.health().get("ok"), "a healthy gateway", 30)
    heard = phone.heard.get(timeout=15)
    assert (heard["stage"], heard["activation"]) == ("receipt", 1)
    assert count(one, phone) == 1


def test_apps_that_people_have(one: Local) -> None:
    owner = "Pemakai Traccar"
    with one.store.write() as conn:
        add_owner(conn, name=owner, now_us=1)
        whose = find_owner(conn, owner)
        phone = phones.add_phone(conn, whose, bytes(range(16)), 1)
    key = key_of(phone.root_key, phone.id)
    assert ask(one, f"apps/traccar/{key[:-1]}", b"{}")[0] == 403
    assert ask(one, "apps/traccar/x", b"{}")[0] == 403
    assert ask(one, f"apps/another/{key}", b"{}")[0] == 404
    assert ask(one, f"apps/traccar/{key}", b'{"location": 1}') == (400, {"error": "no location in it"})
    plain = {"coords": {"latitude": -6.98, "longitude": 110.41, "accuracy": 30}, "extras": {}}
    assert ask(one, f"apps/traccar/{key}", json.dumps({"location": plain}).encode()) == (200, [])
    with one.store.read() as conn:
        assert conn.execute(sa.select(alarms).where(alarms.c.device_id == phone.id)).first() is None
    at = time.time()
    stamp = datetime.fromtimestamp(at, UTC).isoformat()
    sos = json.dumps({"location": {**plain, "timestamp": stamp, "extras": {"alarm": "sos"}}}).encode()
    for _ in range(2):
        assert ask(one, f"apps/traccar/{key}", sos) == (200, [])
    # While it is open, positions follow.
    moved = {"_type": "location", "lat": -6.97, "lon": 110.42, "acc": 8, "tst": int(at) + 1}
    assert ask(one, f"apps/owntracks/{key}", json.dumps(moved).encode()) == (200, [])
    with one.store.read() as conn:
        (row,) = conn.execute(sa.select(alarms).where(alarms.c.device_id == phone.id)).all()
    assert (row.lat_e7, row.lon_e7, row.accuracy_m) == (-69700000, 1104200000, 8)
    assert abs(row.pressed_at / 1e6 - at) < 1.5
    assert not row.age_is_minimum
