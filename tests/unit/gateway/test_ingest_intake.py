"""The bounded queue between network and writer."""

from __future__ import annotations

import threading

from gateway.ingest.intake import Intake, Uplink


def message(qos: int, mid: int = 0, topic: str = "t") -> Uplink:
    return Uplink(topic, b"", 0, 1, qos=qos, mid=mid)


def test_everything_queued_is_drained_at_once_in_order() -> None:
    intake = Intake()
    for mid in range(7):
        assert intake.put(message(1, mid))
    assert [each.mid for each in intake.drain(5)] == [0, 1, 2, 3, 4]
    assert [each.mid for each in intake.drain(5)] == [5, 6]
    assert intake.drain(5, timeout_s=0.01) == []


def test_who_sends_much_waits_behind_itself() -> None:
    intake = Intake()
    for mid in range(1000):
        intake.put(message(1, mid, f"flooder-{mid % 10}"))
    first = intake.drain(100)
    assert intake.put(message(1, 5000, "sos"))
    second = intake.drain(100)
    assert second[0].mid == 5000  # before 900 others
    for mid in range(1000, 1100):
        intake.put(message(1, mid, f"flooder-{mid % 10}"))
    for mid in range(6000, 6100):  # a crowd of new ones takes every second turn, and no more
        intake.put(message(1, mid, f"new-{mid}"))
    third = intake.drain(100)
    assert len([each for each in third if each.mid >= 6000]) == 50
    rest = intake.drain(2000)
    assert len(intake) == 0
    for flooder in range(10):
        mids = [each.mid for each in first + second + third + rest if each.topic == f"flooder-{flooder}"]
        assert mids == list(range(flooder, 1100, 10))  # each one's own, in order
    assert intake.drain(1, timeout_s=0.01) == []
    intake.put(message(1, 1, "flooder-1"))
    intake.put(message(1, 2, "sos"))
    assert [each.mid for each in intake.drain(9)] == [1, 2]  # all had their turn long ago


def test_a_flood_of_qos_0_takes_no_place_from_qos_1() -> None:
    intake = Intake(most_qos0=3, most_qos1=3)
    assert [intake.put(message(0)) for _ in range(5)] == [True] * 3 + [False] * 2
    assert [intake.put(message(1)) for _ in range(4)] == [True] * 3 + [False]
    assert len(intake) == 6
    assert intake.take_drops() == {"ingest.dropped.qos0": 2, "ingest.dropped.qos1": 1}
    assert intake.take_drops() == {}


def test_refused_qos_1_is_asked_for_again_once_there_is_room() -> None:
    intake = Intake(most_qos0=1, most_qos1=4)
    intake.put(message(0))
    intake.put(message(0))
    assert not intake.take_debt()  # QoS 0 that was dropped is gone
    for _ in range(5):
        intake.put(message(1))
    assert not intake.take_debt()
    intake.drain(3)
    assert intake.take_debt()
    assert not intake.take_debt()


def test_closing_wakes_the_reader_and_leaves_what_is_there() -> None:
    intake = Intake()
    got: list[list[Uplink]] = []
    reader = threading.Thread(target=lambda: got.append(intake.drain(10)))
    reader.start()
    intake.close()
    reader.join(5)
    assert got == [[]]
    late = Intake()
    late.put(message(1))
    late.close()
    assert not late.put(message(1))
    assert len(late.drain(10)) == 1
    assert late.drain(10) == []
