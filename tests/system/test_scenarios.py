"""Every shipped story holds, in virtual time; and the command that runs them."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from sigap.virtual_gateway import VirtualStore
from simulator.scenario import load, model
from simulator.scenario.report import failure
from simulator.scenario.run import Result, run

SIGAP = str(Path(sys.executable).with_name("sigap"))


def story(name: str, seed: int = 1) -> Result:
    return run(load.load(name), name=name, seed=seed, make_store=VirtualStore)


def sigap(*arguments: str, expect: int = 0, timeout_s: float = 110) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([SIGAP, "scenario", *arguments], capture_output=True, text=True, timeout=timeout_s)
    assert done.returncode == expect, done.stderr
    return done


@pytest.mark.timeout(400)  # a week takes half a minute on an idle machine, more beside other tests
@pytest.mark.parametrize("name", load.quick())
def test_story(name: str) -> None:
    result = story(name)
    assert result.passed, failure(result)


def test_there_are_enough_and_each_tells_its_story() -> None:
    names = load.names()
    assert len(names) >= 24
    for name in names:
        assert load.load(name).expect, f"{name} expects nothing"


def test_another_process_gives_the_same_digest_and_another_seed_another() -> None:
    here = story("broker-dies-at-the-third-press", 5)
    there = json.loads(sigap("run", "broker-dies-at-the-third-press", "--seed", "5", "--json").stdout)
    assert there["digest"] == here.digest
    assert story("broker-dies-at-the-third-press", 6).digest != here.digest


def test_json_is_what_the_design_says() -> None:
    document = json.loads(sigap("run", "shop-robbery-silent", "--json").stdout)
    assert document["scenario"] == "shop-robbery-silent"
    assert document["seed"] == 1
    assert document["passed"] is True
    assert document["broken"] == []
    assert list(document["stages"]["toko"]) == [
        "received",
        "accepted",
        "acknowledged",
        "dispatched",
        "on_scene",
        "closed",
    ]


def test_several_make_a_table_a_list_and_junit(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    done = sigap("run", "no-sky", "by-satellite", "--junit", str(report))
    assert [line.split()[1] for line in done.stdout.splitlines()[1:]] == ["no-sky", "by-satellite"]
    assert "2/2 ok" in done.stderr
    suite = ET.parse(report).getroot()
    assert suite.attrib["tests"] == "2"
    assert [case.attrib["name"] for case in suite] == ["no-sky", "by-satellite"]
    listed = json.loads(sigap("run", "no-sky", "by-satellite", "--json").stdout)
    assert [each["passed"] for each in listed] == [True, True]


def test_a_failure_prints_seed_promise_and_the_command_that_repeats_it(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "title: Nobody presses\nstory: A story that expects an alarm which nobody made.\nlength_s: 20\n"
        "buttons:\n  - {name: toko, site: [-6.99, 110.42]}\nexpect:\n  - {who: toko, alarms: 1}\n"
    )
    report = tmp_path / "report.xml"
    done = sigap("run", str(path), "--seed", "7", "--junit", str(report), expect=1)
    assert "with seed 7" in done.stderr
    assert "What the scenario says must come of it" in done.stderr
    assert "toko: alarms is 0, expected 1" in done.stderr
    assert f"sigap scenario run {path} --seed 7 --trace trace.jsonl" in done.stderr
    assert ET.parse(report).getroot().attrib["failures"] == "1"
    trace = tmp_path / "trace.jsonl"
    sigap("run", str(path), "--seed", "7", "--trace", str(trace), expect=1)
    entries = [json.loads(line) for line in trace.read_text().splitlines()]
    assert any(entry["who"] == "toko" and entry["what"] == "boot" for entry in entries)


TOP = "title: A story\nstory: Something happens to a button here.\nlength_s: 9\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("title: [", "mine.yaml:1:9: no YAML"),
        (TOP + "buttons: []\n", "mine.yaml:4:10: buttons"),
        (TOP + "buttons:\n  - {name: a, colour: red}\n", "mine.yaml:5:23: buttons.0.colour"),
        (
            TOP + "buttons:\n  - {name: a}\nsteps:\n  - {at_s: 3, do: jump, who: a}\n",
            "mine.yaml:7:5: steps.0: Input tag 'jump'",
        ),
        (
            TOP + "buttons:\n  - {name: a}\nsteps:\n  - {at_s: 30, do: press, who: a}\n",
            "a step at 30 s comes after the end",
        ),
        (
            TOP + "buttons:\n  - {name: a}\nsteps:\n  - {at_s: 3, do: press, who: b-*}\n",
            "no button is named b-*; there are a",
        ),
    ],
)
def test_a_mistake_is_said_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    assert said in sigap("run", str(tmp_path / "mine.yaml"), expect=2).stderr


def test_an_unknown_story_and_none_at_all() -> None:
    assert "`sigap scenario list` shows all" in sigap("run", "no-such-story", expect=2).stderr
    assert "which story?" in sigap("run", expect=2).stderr


def test_list_show_and_schema() -> None:
    assert len(json.loads(sigap("list", "--json").stdout)) == len(load.names())
    assert "no-sky" in sigap("list").stdout
    assert sigap("show", "no-sky").stdout == (load.FOLDER / "no-sky.yaml").read_text()
    shipped = json.loads((load.FOLDER / "scenario.schema.json").read_text())
    assert shipped == model.schema() == json.loads(sigap("schema").stdout)


def test_exploring_finds_nothing_in_a_few_seconds_and_says_how_many_worlds_it_saw() -> None:
    done = json.loads(sigap("explore", "--minutes", "0.05", "--seed", "1", "--json").stdout)
    assert done["finds"] == []
    assert done["worlds"] >= 1
