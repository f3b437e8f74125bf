"""`sigap device set|locate|test|restart|commands`: asked of a device from afar; the running gateway sends it."""

from __future__ import annotations

import getpass
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from gateway.clock import now_us
from gateway.commands.options import config_option, json_option, print_json, print_table
from gateway.incidents.cloudevents import rfc3339
from gateway.registry.devices import PHONE, Device, find_device
from gateway.settings import load_settings
from gateway.store.engine import Store, open_store
from gateway.supervision import commands as asked
from panic_wire.frames import LOCATE, RESTART, SET, TEST_MODE_OFF, TEST_MODE_ON
from panic_wire.topics import device_name
from sigap.problem import USAGE, Problem

LOOK_EVERY_S = 0.2
WORDS = {
    asked.WAITING: "not sent yet: it goes out when the device is heard, as long as the gateway runs",
    asked.SENT: "sent, not answered yet: it is sent again with each heartbeat",
    asked.DONE: "done",
    asked.REFUSED: "refused",
    asked.UNKNOWN: "its firmware does not know this command",
    asked.UNANSWERED: f"given up: not answered after {asked.MOST_SENDS} sends, or seven days",
}
_OPTIONS: list[Callable[[Any], Any]] = [
    click.argument("name"),
    click.option(
        "--wait", "wait_s", default=60.0, show_default=True, type=click.FloatRange(0, 3600), metavar="SECONDS"
    ),
    click.option("--no-wait", is_flag=True, help="Ask, and do not wait for the answer."),
    config_option,
    json_option,
]


def _options(command: Any) -> Any:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command("set")
@_options
@click.argument("setting", metavar="SETTING=VALUE")
def set_(setting: str, **more: Any) -> None:
    """Change a setting of the device NAME. The device checks it, and says why when it refuses.

    \b
    sigap device set shop-1 heartbeat_s=300
    """
    key, equals, _value = setting.partition("=")
    if not equals or not key.strip():
        raise Problem(f"{setting} sets nothing", "Write it as NAME=VALUE, such as heartbeat_s=300", USAGE)
    _ask(SET, setting.encode(), **more)


@click.command()
@_options
def locate(**more: Any) -> None:
    """Ask the device NAME where it is: a technician's question, kept in the device's events.

    \b
    sigap device locate shop-1
    """
    _ask(LOCATE, b"", **more)


@click.command()
@click.option("--off", is_flag=True, help="End test mode.")
@_options
def test(off: bool, **more: Any) -> None:
    """Put the device NAME into test mode for two minutes: three presses are a test then.

    \b
    sigap device test shop-1
    """
    _ask(TEST_MODE_OFF if off else TEST_MODE_ON, b"", **more)


@click.command()
@_options
def restart(**more: Any) -> None:
    """Start the device NAME anew. Alarms that are open go on.

    \b
    sigap device restart shop-1
    """
    _ask(RESTART, b"", **more)


@click.command("commands")
@click.argument("name")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True)
@config_option
@json_option
def list_commands(name: str, limit: int, config_path: Path, as_json: bool) -> None:
    """What was asked of the device NAME, and what it answered; the newest first.

    \b
    sigap device commands shop-1
    """
    with open_store(load_settings(config_path).store_url) as store, store.read() as conn:
        found = find_device(conn, name)
        if found is None:
            raise Problem(f"there is no device named {name}", "`sigap device list` shows all", USAGE)
        shown = [_shown(each) for each in asked.listed(conn, found.id, limit)]
    if as_json:
        print_json({"device": device_name(found.id), "name": name, "commands": shown})
        return
    rows = [(each["asked_at"], each["asked_by"], each["says"], str(each["sends"]), _result(each)) for each in shown]
    print_table([("asked", "by", "command", "sent", "result"), *rows])


REMOTE = (set_, locate, test, restart, list_commands)


def _ask(
    code: int, content: bytes, *, name: str, wait_s: float, no_wait: bool, config_path: Path, as_json: bool
) -> None:
    with open_store(load_settings(config_path).store_url) as store:
        with store.write() as conn:
            device = find_device(conn, name)
            if device is None or device.revoked:
                raise Problem(f"there is no device {name} in use", "`sigap device list` shows all", USAGE)
            if device.kind == PHONE:
                raise Problem(f"{name} is a phone, which takes no commands", "Call its person", USAGE)
            number = asked.ask(conn, device.id, code, content, f"administrator:{getpass.getuser()}", now_us())
        shown = _wait(store, device, number, 0.0 if no_wait else wait_s)
    if as_json:
        print_json({"device": device_name(device.id), "name": name, **shown})
    else:
        click.echo(f"{name}: {_result(shown)}")
    if shown["state"] != asked.DONE and not no_wait:
        raise Problem(f"{shown['says']} was not done", f"`sigap device commands {name}` shows what becomes of it")


def _wait(store: Store, device: Device, number: int, limit_s: float) -> dict[str, Any]:
    """The command when it was answered, or as it stands after limit_s. Each step is said on stderr."""
    until, said = time.monotonic() + limit_s, ""
    while True:
        with store.read() as conn:
            found = asked.get(conn, number)
        if found["state"] not in asked.UNDER_WAY or time.monotonic() >= until:
            return _shown(found)
        if found["state"] != said:
            said = found["state"]
            click.echo(
                f"{device.name}: {WORDS[said]} (waiting {limit_s:g} s; Ctrl-C leaves it to the gateway)", err=True
            )
        time.sleep(LOOK_EVERY_S)


def _shown(found: dict[str, Any]) -> dict[str, Any]:
    """A command with its times as text."""
    times = {key: rfc3339(found[key]) for key in ("asked_at", "sent_at", "answered_at")}
    answer = found["answer"]
    if answer is not None and "fix_at" in answer:
        answer = {**answer, "fix_at": rfc3339(answer["fix_at"])}
    return {**found, **times, "answer": answer}


def _result(shown: dict[str, Any]) -> str:
    words, answer = WORDS[shown["state"]], shown["answer"]
    if answer is None:
        return words
    if "lat" not in answer:
        return f"{words}: {answer['text']}" if answer["text"] else words
    if shown["state"] != asked.DONE:
        return words
    if answer["lat"] is None:
        return "it does not know where it is"
    within = "" if answer["accuracy_m"] is None else f", within {answer['accuracy_m']} m"
    at = "" if answer["fix_at"] is None else f", at {answer['fix_at']}"
    return f"{answer['lat']:.6f}, {answer['lon']:.6f}{within}{at}"
