"""Commands: each is done once, whoever records it; the time only as the answer to a heartbeat of now."""

import json

from flash_double import FlashDouble, PowerCut
from test_alarm import DEVICE, ROOT, BoardDouble, boot, send, status

from panic import unload
from panic.settings import NEW, OLD, PATH, change, load
from panic_wire.frames import (
    ANSWER,
    COMMAND,
    DONE,
    LOCATE,
    LOCATION,
    RECEIPT,
    REFUSED,
    REPORT,
    RESTART,
    SET,
    SET_TIME,
    TEST_MODE_OFF,
    TEST_MODE_ON,
    UNKNOWN,
    Command,
    Header,
    time_content,
    unpack_heartbeat,
    unpack_report,
)
from panic_wire.keys import downlink_key, uplink_key
from panic_wire.seal import open_frame, seal

EPOCH = 1795000000
FILE = {
    "device": "0000a1b2",
    "root_key": "000102030405060708090a0b0c0d0e0f",
    "wifi": {"ssid": "shop"},
    "broker": {"host": "127.0.0.1"},
    "board": "devkit",
}


def flash():
    return FlashDouble({PATH: json.dumps(FILE).encode()})


def command(code, content=b"", counter=1, epoch=EPOCH, device=DEVICE):
    header = Header(COMMAND, 0, device, epoch, counter)
    return seal(downlink_key(ROOT, DEVICE), header, Command(code, content).pack())


def answer(device, now=0):
    """(counter of the command, kind, code, content), or None."""
    frame = device.other_frame(now)
    if frame is None:
        return None
    header, body = open_frame(uplink_key(ROOT, DEVICE), frame)
    assert header.type == REPORT
    report = unpack_report(body)
    return report.ref, report.kind, report.code, report.content


def obey(button, *what, **more):
    button.take_frame(command(*what, **more), 0)
    return answer(button)


def test_each_is_done_once_and_answered_again():
    it = flash()
    device = boot(it)
    assert obey(device, TEST_MODE_ON, counter=7) == (7, ANSWER, DONE, b"")
    assert device.test_wait_ms(0) == 120000
    assert answer(device) is None
    device.end_test(0)
    assert obey(device, TEST_MODE_ON, counter=7) == (7, ANSWER, DONE, b""), "again, the same"
    assert device.test_wait_ms(0) is None, "and nothing is done"
    for counter, epoch in ((6, EPOCH), (0xFFFFFFFF, EPOCH - 1)):
        assert obey(device, TEST_MODE_ON, counter=counter, epoch=epoch) is None
    assert device.refused_frames == 2
    device = boot(it, seed=2)
    assert obey(device, TEST_MODE_ON, counter=7)[:3] == (7, ANSWER, DONE)
    assert device.test_wait_ms(0) is None, "a recorded command does nothing after a start either"
    assert obey(device, TEST_MODE_ON, counter=0, epoch=EPOCH + 1)[:3] == (0, ANSWER, DONE)
    assert obey(device, TEST_MODE_OFF, counter=1, epoch=EPOCH + 1)[:3] == (1, ANSWER, DONE)
    assert device.test_wait_ms(0) is None


def test_a_cut_at_every_step_does_nothing_twice():
    cuts = 0
    while True:
        it = flash()
        device = boot(it)
        device.take_frame(command(TEST_MODE_OFF, counter=3), 0)
        it.budget = it.spent + cuts
        try:
            device.take_frame(command(TEST_MODE_ON, counter=4), 0)
        except PowerCut:
            done = device.test_wait_ms(0) is not None
            again = boot(FlashDouble(it.contents), seed=2)
            found = obey(again, TEST_MODE_ON, counter=4)
            assert found[:2] == (4, ANSWER)
            if done:
                assert again.test_wait_ms(0) is None or found[2] == DONE
            cuts += 1
            continue
        break
    assert cuts > 20


def test_not_anothers_and_not_a_forgery():
    device = boot(flash())
    good = bytearray(command(TEST_MODE_ON))
    good[40] ^= 1
    assert not device.take_frame(bytes(good), 0)
    assert obey(device, TEST_MODE_ON, device=DEVICE + 1) is None
    assert device.test_wait_ms(0) is None
    assert device.refused_frames == 2


def test_unknown_commands_are_answered():
    assert obey(boot(flash()), 77)[:3] == (1, ANSWER, UNKNOWN)


def test_locate():
    device = boot(flash())
    ref, kind, code, content = obey(device, LOCATE)
    assert (ref, kind, code) == (1, LOCATION, DONE)
    assert content.startswith(b"\x80\0\0\0\x80")
    device.position.take(("GGA", True, -70000000, 1104000000, 10, False), 0)
    _, _, _, content = obey(device, LOCATE, counter=2)
    assert int.from_bytes(content[:4], "big") == (1 << 32) - 70000000


def test_no_test_mode_and_no_restart_while_an_alarm_is_on_its_way():
    device = boot(flash())
    alarm = device.activate(0, 0)
    assert obey(device, TEST_MODE_ON)[2:] == (REFUSED, b"an alarm is open")
    assert obey(device, RESTART, counter=2)[2:] == (REFUSED, b"an alarm is on its way")
    assert not device.wants_restart
    header, _ = send(device, 0)[0]
    device.take_frame(status(header, alarm.activation, RECEIPT), 0)
    assert obey(device, RESTART, counter=3)[2] == DONE
    assert device.wants_restart


def test_set_changes_one_and_takes_effect():
    it = flash()
    device = boot(it)
    assert obey(device, SET, b"silent=true")[2:] == (DONE, b"")
    device.activate(0, 0)
    assert device.lights.led(10) == (False, None)
    assert send(device, 0)[0][1].silent
    assert load(it).silent
    for counter, text, why in (
        (2, b"heartbeat_s=0", b"heartbeat_s must be a whole number from 1 to 86400"),
        (3, b"heartbeat_s=soon", b"whole number"),
        (4, b"wifi.ssid=other", b"wifi.ssid is not to be changed from afar"),
        (5, b"nonsense=1", b"there is no setting nonsense"),
        (6, b"silent", b"true or false"),
        (7, b"\xff\xfe=1", b"UTF-8"),
    ):
        _, _, code, content = obey(device, SET, text, counter=counter)
        assert code == REFUSED, text
        assert why in content, content
    assert load(it).heartbeat_s == 300
    assert load(it).silent


def test_settings_are_written_whole_or_not_at_all():
    cuts = 0
    while True:
        it = FlashDouble({PATH: json.dumps(FILE).encode()}, cuts)
        try:
            assert change(it, "heartbeat_s", "77") is None
        except PowerCut:
            assert load(FlashDouble(it.contents)).heartbeat_s in (300, 77)
            cuts += 1
            continue
        break
    assert cuts > 100
    assert load(it).heartbeat_s == 77
    assert NEW not in it.contents
    it.contents[PATH] = b"{torn"
    lines = []
    assert load(it, lines.append).heartbeat_s == 300
    assert "before" in lines[0]
    it.contents[OLD] = b"torn too"
    try:
        load(it)
        raise AssertionError("accepted")
    except ValueError as error:
        assert "JSON" in str(error)


def test_over_serial_more_may_be_changed():
    it = flash()
    assert change(it, "wifi.ssid", "new shop") is None
    assert change(it, "wifi.password", "x" * 65) == "wifi.password must be a text of 0 to 64 letters"
    assert change(it, "site.lat_e7", "-69932000") is None
    assert change(it, "site.lon_e7", "1104203000") is None
    assert load(it).wifi_ssid == "new shop"
    assert load(it).site == (-69932000, 1104203000, 200)
    it.full = True
    assert "28" in change(it, "silent", "true")


def test_the_time_answers_a_heartbeat_of_the_last_ten_seconds_once():
    device = boot(flash())
    told = []
    device.set_clock = told.append
    header, body = open_frame(uplink_key(ROOT, DEVICE), device.heartbeat_frame(BoardDouble(), 1000))
    assert not unpack_heartbeat(body).clock_known

    def tell(now, epoch=header.epoch, counter=header.counter):
        device.take_frame(command(SET_TIME, time_content(1795000000123, epoch, counter), counter=1, epoch=2), now)
        return len(told)

    assert tell(2000, counter=header.counter + 1) == 0
    assert tell(2000, epoch=header.epoch ^ 1) == 0
    assert tell(11001) == 0, "too late"
    assert tell(11000) == 1
    assert told == [1795000000123]
    assert tell(11000) == 1, "once"
    assert answer(device) is None
    assert "/state/c" not in device.files.contents, "what it answers makes it fresh: nothing is kept"
    _, body = open_frame(uplink_key(ROOT, DEVICE), device.heartbeat_frame(BoardDouble(), 20000))
    assert unpack_heartbeat(body).clock_known
    unload("commands", "settings", "schema")


def test_a_million_bytes_of_noise():
    import gc
    import sys

    from flash_double import Chance

    chance = Chance(5)
    device = boot(flash())
    alarm = device.activate(0, 0)
    header, _ = send(device, 0)[0]
    good = [status(header, alarm.activation, RECEIPT), command(77, b"x" * 90), command(SET, b"silent=true")]

    def noise(rounds):
        for number in range(rounds):
            frame = bytearray(good[number % 3])
            frame[chance() % len(frame)] ^= 1 << chance() % 8
            if number % 4 == 0:
                frame = frame[: chance() % len(frame)]
            device.take_frame(bytes(frame), 0)

    noise(50)
    gc.collect()
    before = gc.mem_alloc() if hasattr(gc, "mem_alloc") else 0
    refused = device.refused_frames
    rounds = 12000 if sys.implementation.name == "micropython" else 1000  # 87 bytes each
    noise(rounds)
    assert device.refused_frames == refused + rounds
    gc.collect()
    if hasattr(gc, "mem_alloc"):
        assert gc.mem_alloc() <= before + 64
    assert not device.settings.silent
