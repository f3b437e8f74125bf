"""The fixtures of sigap.pytest_plugin, told as the stories that they are for."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sigap.problem import Problem
from sigap.story.gateway import Gateway
from sigap.story.parts import Broker, Relatives
from sigap.story.police import Police
from sigap.story.stage import Stage
from sigap.story.virtual import Virtual
from sigap.story.waiting import NotSeenError
from sigap.story.world import Board, World
from tests.system.local_lab import wait_until

SHOP, HOME = (-6.9932, 110.4203), (-6.9890, 110.4230)
LIMIT_S = 60.0
ELSEWHERE = """
import sys
from pathlib import Path

pytest_plugins = ["sigap.pytest_plugin"]
OURS = {"gateway", "simulator", "sqlalchemy"}


def test_nothing_is_loaded_that_was_not_asked_for():
    assert not OURS & {name.split(".")[0] for name in sys.modules}


def test_one_that_fails(board, gateway, police):
    board.press(3)
    board.shows("dispatched", within_s=0.5)


def test_one_that_is_interrupted(board, gateway, police):
    board.press(3)
    gateway.waits_for_alarm(of=board)
    print("WAITING", flush=True)
    with gateway.frozen():
        board.shows("dispatched", within_s=60)
"""
DIES = """
import os, signal, sys
from pathlib import Path

from sigap.story.parts import Broker
from sigap.story.stage import Stage

with Stage(Path(sys.argv[1])) as stage:
    broker = Broker(stage)
    broker.start()
    with broker.frozen():
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_shop_is_robbed(board: Board, gateway: Gateway, police: Police) -> None:
    police.refuses()
    board.press(3)
    alarm = gateway.waits_for_alarm(of=board)
    board.shows("received", within_s=2)
    assert "accepted" not in gateway.stages(alarm)
    police.accepts(alarm)
    gateway.operator.acknowledge(alarm)
    board.shows("acknowledged")
    police.dispatches(alarm, unit="Patroli 7")
    gateway.operator.close(alarm)
    assert [one.state for one in gateway.alarms(of=board)] == ["closed"]
    assert board.restarts() == 0


def test_the_broker_dies(board: Board, broker: Broker, gateway: Gateway) -> None:
    broker.kill()
    board.press(3)
    board.shows("sending")
    assert gateway.alarms() == []
    broker.start()
    board.shows("received", within_s=15)
    gateway.waits_for_alarm(of=board)


def test_everything_dies_and_the_alarm_arrives(board: Board, gateway: Gateway, police: Police) -> None:
    gateway.kill()
    police.decides_later()
    board.press(3)
    board.shows("sending")
    board.power(False)
    gateway.start()
    board.power(True)
    board.prints("resumed")
    alarm = gateway.waits_for_alarm(of=board)
    board.shows("received")
    assert alarm.pressed_at < alarm.received_at
    police.accepts(alarm)
    assert len(gateway.alarms()) == 1


def test_a_silent_shop_and_a_home(world: World, gateway: Gateway, relatives: Relatives) -> None:
    shop, home = world.board("shop", silent=True, site=SHOP), world.board("home", gps=HOME)
    home.sky(False)
    shop.press(3)
    home.press(3)
    assert gateway.waits_for_alarm(of=shop).silent
    assert not gateway.waits_for_alarm(of=home).silent
    assert "Tempat: Tempat shop" in relatives.gets_mail("Pemilik shop").get_content()
    relatives.gets_mail("Pemilik home")
    home.shows("received")
    shop.stays_dark(for_s=0.5)
    with pytest.raises(NotSeenError, match=r"home did not stay dark; the light of home said .*received \(after"):
        home.stays_dark(for_s=0.1)
    with pytest.raises(Problem, match="a button is named shop already"):
        world.board("shop")


def test_a_button_alone_waits_for_a_world(board: Board, sigap_stage: Stage) -> None:
    assert "nothing but boards runs" in sigap_stage.how()
    board.wifi(False)
    board.press(1)
    board.stays_dark(for_s=0.5)
    board.press(3)
    assert board.shows("sending") < 1.0
    board.prints("no connection")
    with pytest.raises(NotSeenError) as error:
        board.shows("received", within_s=0.2)
    assert "'received' on the light of board did not happen within 0.2 s" in str(error.value)
    assert "the light of board said sending (after 0." in str(error.value)
    with pytest.raises(NotSeenError, match=r"did not print 'hello' within 0\.1 s"):
        board.prints("hello", within_s=0.1)
    with pytest.raises(Problem, match="the light knows no word 'help'"):
        board.shows("help")


def test_the_same_words_in_virtual_time(virtual: Virtual) -> None:
    shop = virtual.board("shop")
    virtual.passes(hours=1)
    virtual.broker.kill()
    shop.press(3)
    shop.shows("sending")
    virtual.passes(minutes=2)
    assert virtual.gateway.alarms() == []
    virtual.broker.start()
    alarm = virtual.gateway.waits_for_alarm(of=shop)
    shop.shows("received", within_s=1)
    assert shop.said() == ["sending", "not received", "received"], "a minute without a receipt is said"
    shop.power(False)
    shop.power(True)
    virtual.gateway.operator.acknowledge(alarm)
    shop.shows("acknowledged")
    kiosk = virtual.board("kiosk", silent=True, gps=HOME)
    kiosk.press(3)
    second = virtual.gateway.waits_for_alarm(of=kiosk)
    assert second.silent
    assert second.position is None, "the receiver had no time yet"
    kiosk.stays_dark(for_s=60)
    virtual.gateway.waits_for("accepted", second)
    with pytest.raises(NotSeenError, match="an alarm of shop did not happen within 3 s; alarms on disk: shop"):
        virtual.gateway.waits_for_alarm(of=shop, within_s=3)


def processes_of(folder: Path) -> list[str]:
    """Command lines of what was started with this folder in its arguments or its environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command, environment = (process / "cmdline").read_bytes(), (process / "environ").read_bytes()
        except OSError:
            continue  # it has ended meanwhile, or is somebody else's
        if str(folder).encode() in command + environment:
            found.append(command.replace(b"\0", b" ").decode())
    return found


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc, to see what is left running")
@pytest.mark.timeout(300)
def test_elsewhere_a_test_fails_and_one_is_interrupted_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "test_elsewhere.py").write_text(ELSEWHERE)
    base = tmp_path / "base"
    command = [sys.executable, "-m", "pytest", "-s", "-p", "no:cacheprovider", f"--basetemp={base}"]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        # A shell's background jobs ignore Ctrl-C, and what they start does too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        assert process.stdout
        before = []
        for line in process.stdout:
            before.append(line)
            if "WAITING" in line:
                break
        assert processes_of(base / "sigap0") == [], "of the test that failed"
        running = "\n".join(processes_of(base / "sigap1"))
        process.send_signal(signal.SIGINT)
        said = "".join(before) + process.communicate(timeout=3 * LIMIT_S)[0]
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == pytest.ExitCode.INTERRUPTED, said
    for name in ("mosquitto", "sigap.cli gateway", "sigap.cli police-desk", "sigap.cli world", "virtual_board"):
        assert name in running
    assert processes_of(base) == []
    assert "KeyboardInterrupt" in said
    assert "1 failed, 1 passed" in said
    assert "NotSeenError: 'dispatched' on the light of board did not happen within 0.5 s" in said
    assert "the light of board said sending (after 0." in said


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux ends children whose parent has died")
def test_who_dies_hard_leaves_nothing_behind_not_even_what_is_frozen(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", DIES, str(tmp_path)], timeout=LIMIT_S, check=False)
    assert done.returncode == -signal.SIGKILL
    wait_until(lambda: not processes_of(tmp_path), "the end of the broker")
