"""Every line of the generated mosquitto.conf promises something; each has a test with the real broker."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest

from gateway.broker.files import MOST_GATEWAYS, MOST_IN_FLIGHT, write_broker_files
from gateway.broker.running import find_mosquitto
from gateway.ingest.intake import MOST_QOS1
from gateway.registry.devices import Device
from gateway.settings import BrokerSettings
from panic_wire.keys import broker_password
from panic_wire.topics import device_name
from sigap.processes import free_port
from tests.system.test_broker_acl import LIMIT_S, Broker, Listener, Login, clean_environment, down, reachable, state, up

ACL = "tests.system.test_broker_acl"
HERE = "tests.system.test_broker_promises"
# Directive -> the test that shows what it promises.
PROMISES = {
    "listener": (HERE, "test_a_full_port_of_devices_leaves_the_gateway_its_own"),
    "max_connections": (HERE, "test_a_full_port_of_devices_leaves_the_gateway_its_own"),
    "protocol": (HERE, "test_a_phone_speaks_by_websocket_on_topics_of_its_own"),
    "use_username_as_clientid": (ACL, "test_device_cannot_end_anothers_connection"),
    "certfile": ("tests.system.test_mqtt_tls", "test_sigaps_own_certificate"),
    "keyfile": ("tests.system.test_mqtt_tls", "test_sigaps_own_certificate"),
    "tls_version": (HERE, "test_no_tls_older_than_1_2"),
    "allow_anonymous": (ACL, "test_nobody_without_the_right_password"),
    "password_file": (ACL, "test_nobody_without_the_right_password"),
    "acl_file": (ACL, "test_device_cannot_publish_in_anothers_name"),
    "set_tcp_nodelay": (HERE, "test_no_small_message_waits_for_another"),
    "max_packet_size": (ACL, "test_packet_beyond_the_limit_ends_the_connection"),
    "max_queued_messages": (HERE, "test_what_waits_for_the_gateway_outlives_an_orderly_restart_and_no_kill"),
    "max_inflight_messages": (HERE, "test_what_waits_for_the_gateway_outlives_an_orderly_restart_and_no_kill"),
    "persistence": (HERE, "test_what_waits_for_the_gateway_outlives_an_orderly_restart_and_no_kill"),
    "persistence_location": (HERE, "test_what_waits_for_the_gateway_outlives_an_orderly_restart_and_no_kill"),
    "autosave_interval": (HERE, "test_what_waits_for_the_gateway_outlives_an_orderly_restart_and_no_kill"),
    "persistent_client_expiration": (HERE, "test_the_gateways_session_lasts_thirty_days_and_not_for_ever"),
    "sys_interval": (ACL, "test_device_hears_only_its_own_answers"),
    "pid_file": (ACL, "test_broker_files_are_private_and_pid_is_the_brokers"),
    "user": (ACL, "test_broker_files_are_private_and_pid_is_the_brokers"),
    "log_dest": (HERE, "test_a_refused_login_is_in_the_log"),
    "log_type": (HERE, "test_a_refused_login_is_in_the_log"),
    "log_timestamp_format": (HERE, "test_a_refused_login_is_in_the_log"),
}
MANY = 1_500  # more than the 1,000 that Mosquitto keeps by default, and than the 20 that it has in flight
PLACES = 12


def test_as_many_are_in_flight_as_the_gateway_takes_in() -> None:
    assert MOST_IN_FLIGHT == MOST_QOS1


def test_every_promise_has_its_test(tmp_path: Path) -> None:
    broker = BrokerSettings(password="a long enough password", tls_port=8883, gateway_port=8884, phone_port=8885)
    text = write_broker_files(tmp_path, broker, []).read_text()
    directives = {line.split()[0] for line in text.splitlines() if line and not line.startswith("#")}
    assert directives == set(PROMISES)
    for module, name in PROMISES.values():
        assert callable(getattr(importlib.import_module(module), name)), (module, name)


class Ported(Broker):
    """Mosquitto alone, with a port for each kind of client, few places for devices, and a clock that can be set."""

    def __init__(self, folder: Path) -> None:
        self.port, self.gateway_port, self.phone_port = free_port(), free_port(), free_port()
        self.settings = BrokerSettings(
            password="a long enough password",
            port=self.port,
            gateway_port=self.gateway_port,
            phone_port=self.phone_port,
            most_clients=PLACES,
        )
        self.gateway = Login(self.settings.username, self.settings.password)
        registered = [Device(number, f"shop-{number}", bytes([number] * 16)) for number in (1, 2)]
        self.shop, self.school = (
            Login(device_name(each.id), broker_password(each.root_key, each.id)) for each in registered
        )
        self.log, self.clock = folder / "broker.log", folder / "clock"
        self.config = write_broker_files(folder, self.settings, registered)
        self.clock.write_text("+0")

    def start(self) -> None:
        with self.log.open("ab") as log:
            command = [find_mosquitto(), "-c", str(self.config)]
            self.process = subprocess.Popen(command, stderr=log, env={**clean_environment(), **self._faked()})
        deadline = time.monotonic() + LIMIT_S
        while not reachable(self.gateway_port):
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(LIMIT_S)

    def _faked(self) -> dict[str, str]:
        """libfaketime's way to set a process's clock while it runs (not the clock that only counts)."""
        shown = subprocess.run(["faketime", "-f", "+0", "env"], capture_output=True, text=True, check=True).stdout
        library = next(line.split("=", 1)[1] for line in shown.splitlines() if line.startswith("LD_PRELOAD="))
        quick = {"FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        return {"LD_PRELOAD": library, "FAKETIME_TIMESTAMP_FILE": str(self.clock), **quick}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ported]:
    broker = Ported(tmp_path_factory.mktemp("broker"))
    broker.start()
    yield broker
    broker.stop()


class GatewayAccount:
    """The gateway's login with a session that the broker keeps; acknowledges nothing before it is told to."""

    def __init__(self, broker: Ported, *, clean: bool = False) -> None:
        self.heard: list[paho.MQTTMessage] = []
        self.present = False  # the broker knew the session
        subscribed = threading.Event()
        self.client = paho.Client(
            paho.CallbackAPIVersion.VERSION2,
            client_id=broker.gateway.name,
            clean_session=clean,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        self.client.username_pw_set(broker.gateway.name, broker.gateway.password)
        self.client.on_message = lambda _c, _u, message: self.heard.append(message)
        self.client.on_subscribe = lambda *_: subscribed.set()

        def on_connect(client: paho.Client, _data: Any, flags: Any, *_: Any) -> None:
            self.present = flags.session_present
            client.subscribe("sigap/v1/d/#", 1)

        self.client.on_connect = on_connect
        self.client.connect("127.0.0.1", broker.gateway_port)
        self.client.loop_start()
        assert subscribed.wait(LIMIT_S)

    def wait_for(self, number: int) -> None:
        deadline = time.monotonic() + LIMIT_S
        while len(self.heard) < number:
            assert time.monotonic() < deadline, f"{len(self.heard)} of {number}"
            time.sleep(0.01)

    def acknowledge(self) -> None:
        for each in self.heard:
            self.client.ack(each.mid, each.qos)

    def leave(self) -> None:
        """Without a word; the session stays."""
        connection = self.client.socket()
        assert connection is not None
        connection.shutdown(socket.SHUT_RDWR)
        self.client.loop_stop()


def publish_many(broker: Broker, who: Login, number: int, name: str = "") -> None:
    """Each is acknowledged by the broker when this returns."""
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=who.name)
    client.username_pw_set(who.name, who.password)
    client.max_inflight_messages_set(0)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    try:
        sent = [client.publish(up(who), f"{name}{each}", qos=1) for each in range(number)]
        for each in sent:
            each.wait_for_publish(LIMIT_S)
            assert each.is_published()
    finally:
        client.disconnect()
        client.loop_stop()


def test_a_full_port_of_devices_leaves_the_gateway_its_own(broker: Ported) -> None:
    shop = broker.shop
    silent = [socket.create_connection(("127.0.0.1", broker.port)) for _ in range(3 * PLACES)]
    try:
        assert broker.publish(shop, up(shop), "x") != 0  # no place left for a device
        began = time.monotonic()
        account = GatewayAccount(broker, clean=True)
        account.client.publish(down(shop), "still here", qos=1).wait_for_publish(LIMIT_S)
        account.client.publish(up(shop), "to myself", qos=1)
        account.wait_for(2)
        assert time.monotonic() - began < 1
        account.client.disconnect()
        account.client.loop_stop()
    finally:
        for each in silent:
            each.close()
    broker.login_settles(shop, 0)


def test_the_ports_together_leave_a_file_for_the_gateway() -> None:
    import resource

    from gateway.broker.files import OTHER_FILES, _most_clients

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    one = BrokerSettings(password="a long enough password", most_clients=1_000_000)
    three = one.model_copy(update={"tls_port": 1, "phone_port": 2})
    if hard != resource.RLIM_INFINITY:
        for ports, settings in ((1, one), (3, three)):
            assert ports * _most_clients(settings) + MOST_GATEWAYS + OTHER_FILES <= max(hard, soft)
    assert _most_clients(one.model_copy(update={"most_clients": 50})) == 50


def test_a_phone_speaks_by_websocket_on_topics_of_its_own(broker: Ported) -> None:
    phone, other = broker.shop, broker.school  # any login: phones have none of their own yet
    with Listener(broker, broker.gateway, "sigap/v1/#") as gateway:
        heard: list[str] = []
        subscribed = threading.Event()
        client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="x", transport="websockets")
        client.username_pw_set(phone.name, phone.password)
        client.on_connect = lambda c, *_: c.subscribe([("sigap/v1/p/+/down", 1)])
        client.on_subscribe = lambda *_: subscribed.set()
        client.on_message = lambda _c, _u, message: heard.append(message.topic)
        client.connect("127.0.0.1", broker.phone_port)
        client.loop_start()
        try:
            assert subscribed.wait(LIMIT_S)
            client.publish(f"sigap/v1/p/{other.name}/up", "forged", qos=1).wait_for_publish(LIMIT_S)
            client.publish(f"sigap/v1/p/{phone.name}/up", "own", qos=1)
            assert gateway.next() == (f"sigap/v1/p/{phone.name}/up", "own")
            for each in (other, phone):
                gateway.client.publish(f"sigap/v1/p/{each.name}/down", "answer", qos=1)
            deadline = time.monotonic() + LIMIT_S
            while not heard:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            assert heard == [f"sigap/v1/p/{phone.name}/down"]
        finally:
            client.disconnect()
            client.loop_stop()


def test_what_waits_for_the_gateway_outlives_an_orderly_restart_and_no_kill(
    broker: Ported, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second half is why delivery is promised by receipt alone: a PUBACK of the broker is no promise."""
    shop = broker.shop
    account = GatewayAccount(broker)
    account.leave()
    publish_many(broker, shop, MANY)
    assert broker.publish(shop, state(shop), "online", "-r") == 0
    broker.stop()
    broker.start()
    account = GatewayAccount(broker)
    assert account.present
    account.wait_for(MANY)  # without one acknowledgement of ours: that many are in flight
    frames: set[bytes] = set()
    deadline = time.monotonic() + LIMIT_S
    while len(frames) < MANY:
        assert time.monotonic() < deadline, len(frames)
        account.acknowledge()
        frames |= {each.payload for each in account.heard if each.topic == up(shop)}
        time.sleep(0.05)
    assert frames == {b"%d" % each for each in range(MANY)}
    assert b"online" in [each.payload for each in account.heard if each.topic == state(shop) and each.retain]
    account.client.disconnect()
    account.client.loop_stop()

    account = GatewayAccount(broker)
    account.leave()
    publish_many(broker, shop, 500, "later ")
    broker.kill()
    broker.start()
    account = GatewayAccount(broker)
    assert broker.publish(shop, up(shop), "after") == 0
    deadline = time.monotonic() + LIMIT_S
    while b"after" not in [each.payload for each in account.heard]:
        assert time.monotonic() < deadline
        account.acknowledge()  # what it had on disk comes before: what was acknowledged long ago, once more
        time.sleep(0.05)
    left = len({each.payload for each in account.heard if each.payload.startswith(b"later ")})
    with capsys.disabled():
        print(f"\nbroker killed after it had acknowledged 500 messages for the absent gateway: {500 - left} are gone")
    assert left < 500
    account.client.disconnect()
    account.client.loop_stop()


def test_a_refused_login_is_in_the_log(broker: Ported) -> None:
    shop = broker.shop
    assert broker.publish(Login(shop.name, "wrong"), up(shop), "x") == 5
    deadline = time.monotonic() + LIMIT_S  # the broker refuses first, and writes then
    refused = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}: .*not authorised", re.MULTILINE)
    while not refused.search(broker.log.read_text()):
        assert time.monotonic() < deadline, broker.log.read_text()
        time.sleep(0.02)


@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace, which reads a process's system calls")
def test_no_small_message_waits_for_another(tmp_path: Path) -> None:
    """TCP_NODELAY on what it accepts: else Nagle and delayed acknowledgement make 40 ms of each second packet."""
    settings = BrokerSettings(password="a long enough password", port=free_port())
    config, trace = write_broker_files(tmp_path, settings, []), tmp_path / "trace"
    command = ["strace", "-f", "-e", "trace=setsockopt,accept,accept4", "-o", str(trace), find_mosquitto()]
    process = subprocess.Popen([*command, "-c", str(config)], stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        deadline = time.monotonic() + LIMIT_S
        while not reachable(settings.port):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        while not re.search(r"setsockopt\(\d+, SOL_TCP, TCP_NODELAY, \[1\]", trace.read_text()):
            assert time.monotonic() < deadline, trace.read_text()
            time.sleep(0.02)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(LIMIT_S)


def test_no_tls_older_than_1_2(tmp_path: Path) -> None:
    import ssl

    settings = BrokerSettings(password="a long enough password", port=free_port(), tls_port=free_port())
    config = write_broker_files(tmp_path, settings, [])
    process = subprocess.Popen([find_mosquitto(), "-c", str(config)], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + LIMIT_S
        while not reachable(settings.tls_port):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        spoken = {}
        for version in (ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2):
            context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
            context.set_ciphers("DEFAULT@SECLEVEL=0")  # or this machine's OpenSSL would refuse the old one by itself
            with warnings.catch_warnings(action="ignore"):  # the old one's name is enough for one
                context.minimum_version = context.maximum_version = version
            with socket.create_connection(("127.0.0.1", settings.tls_port), LIMIT_S) as line:
                try:
                    with context.wrap_socket(line, server_hostname="sigap-broker") as secured:
                        spoken[version] = secured.version()
                except (ssl.SSLError, OSError):
                    spoken[version] = None
        assert spoken == {ssl.TLSVersion.TLSv1_1: None, ssl.TLSVersion.TLSv1_2: "TLSv1.2"}
    finally:
        process.terminate()
        process.wait(LIMIT_S)


def test_the_gateways_session_lasts_thirty_days_and_not_for_ever(tmp_path: Path) -> None:
    broker = Ported(tmp_path)
    broker.start()
    try:
        for days, is_there in (("+29d", True), ("+61d", False)):  # 32 after the last time that it was there
            GatewayAccount(broker).leave()
            broker.clock.write_text(days)
            time.sleep(1.2)  # it looks each second for what has expired
            account = GatewayAccount(broker)
            assert account.present == is_there, days
            account.leave()
    finally:
        broker.stop()


def test_devices_own_login_works_at_the_gateways_port_but_its_rights_stay(broker: Ported) -> None:
    """The port keeps crowds apart; who may do what is the access list's matter."""
    shop, school = broker.shop, broker.school
    with Listener(broker, broker.gateway, "sigap/v1/#") as gateway:
        at_gateways = ["-p", str(broker.gateway_port)]
        assert broker.publish(shop, up(school), "forged", *at_gateways) == 0
        assert broker.publish(shop, up(shop), "own", *at_gateways) == 0
        heard = gateway.next()
        while heard[0] == state(shop):  # retained, by another test
            heard = gateway.next()
        assert heard == (up(shop), "own")
