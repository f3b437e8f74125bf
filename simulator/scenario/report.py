"""What came of scenarios, for people (a table), for programs (JSON) and for CI (JUnit XML)."""

from __future__ import annotations

import statistics
import xml.etree.ElementTree as ET
from collections.abc import Sequence

from simulator.scenario.checkers import ALL
from simulator.scenario.run import Result

STAGES = ("received", "accepted", "acknowledged", "dispatched", "on_scene", "closed")
PROMISES = {checker.name: checker.promise for checker in ALL} | {
    "expected": "What the scenario says must come of it",
    "no-fault": "No board crashes",
}


def stage_times(result: Result) -> dict[str, float]:
    """{stage: seconds from the press}: the median over the buttons that got so far."""
    found: dict[str, list[float]] = {}
    for times in result.stages.values():
        for stage, seconds in times.items():
            found.setdefault(stage, []).append(seconds)
    return {stage: statistics.median(found[stage]) for stage in STAGES if stage in found}


def table(results: Sequence[Result]) -> str:
    """One line for each: stages in seconds from the press (the median over its alarms), and how long it took."""
    width = max([len(result.scenario) for result in results], default=8)
    head = f"{'':5}{'scenario':{width}}  " + "".join(f"{stage.replace('_', ' '):>13}" for stage in STAGES)
    lines = [head + f"{'lasted':>11}{'took':>8}"]
    for result in results:
        times = stage_times(result)
        cells = "".join(f"{_seconds(times[stage]) if stage in times else '-':>13}" for stage in STAGES)
        mark = "ok" if result.passed else "FAIL"
        lines.append(
            f"{mark:5}{result.scenario:{width}}  {cells}{_length(result.virtual_s):>11}{result.took_s:>6.1f} s"
        )
    return "\n".join(lines)


def failure(result: Result, path: str = "") -> str:
    """The seed, each broken promise with the moment and what was seen, and the command that repeats it."""
    lines = [f"{result.scenario} failed with seed {result.seed}:"]
    for broken in result.broken:
        promise = PROMISES.get(broken["promise"], broken["promise"])
        lines.append(f"  {promise} ({broken['promise']})")
        lines.append(f"    at {broken['at_s']:.3f} s: {broken['why']}")
    how = "--realtime" if result.realtime else "--trace trace.jsonl"
    lines.append(f"  repeat it: sigap scenario run {path or result.scenario} --seed {result.seed} {how}")
    return "\n".join(lines)


def junit(results: Sequence[Result]) -> str:
    """JUnit XML, a test case for each."""
    failed = sum(not result.passed for result in results)
    took = sum(result.took_s for result in results)
    suite = ET.Element(
        "testsuite", name="sigap scenario", tests=str(len(results)), failures=str(failed), time=f"{took:.2f}"
    )
    for result in results:
        case = ET.SubElement(
            suite, "testcase", classname="sigap.scenario", name=result.scenario, time=f"{result.took_s:.2f}"
        )
        if not result.passed:
            first = result.broken[0]
            made = ET.SubElement(case, "failure", message=f"{first['promise']}: {first['why']}")
            made.text = failure(result)
    ET.indent(suite)
    return ET.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _seconds(value: float) -> str:
    return f"{value:.3f}" if value < 100 else f"{value:.0f}"


def _length(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
