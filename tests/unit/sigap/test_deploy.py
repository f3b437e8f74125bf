"""The units and the container file fit this repository: what they copy is here, what they start is a command of ours.

No container can be built where the tests run, and no systemd runs there: it checks the units without starting them.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from gateway.settings import load_settings
from sigap.cli import sigap

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
UNITS = sorted(DEPLOY.glob("sigap*.*"))
INSTALLED = "/opt/sigap/.venv/bin/sigap"


def parses(words: list[str]) -> click.Context:
    """The context of a sigap command, without running it; click raises for an unknown one or a wrong option."""
    command = sigap.get_command(click.Context(sigap), words[0])
    assert command is not None, words
    return command.make_context(words[0], words[1:])


def test_the_units_start_commands_that_there_are() -> None:
    lines = [line for unit in UNITS for line in unit.read_text().splitlines()]
    started = [line for line in lines if line.startswith(f"ExecStart={INSTALLED}")]
    assert len(started) == 3
    for line in started:
        context = parses(shlex.split(line)[1:])
        assert context.params["config_path"] == Path("/etc/sigap/sigap.toml")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is missing")
def test_systemd_takes_the_units_and_calls_them_safe(tmp_path: Path) -> None:
    for unit in UNITS:
        text = unit.read_text().replace(INSTALLED, f"{sys.prefix}/bin/sigap")
        (tmp_path / unit.name).write_text(text)
    paths = [str(tmp_path / unit.name) for unit in UNITS]
    command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *paths]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    ours = [line for line in done.stderr.splitlines() if str(tmp_path) in line or "sigap" in line]
    assert (done.returncode, ours) == (0, [])
    for name in ("sigap.service", "sigap-broker.service"):
        command = ["systemd-analyze", "security", "--offline=true", "--threshold=25", str(tmp_path / name)]
        rated = subprocess.run(command, capture_output=True, text=True, check=False)
        assert rated.returncode == 0, rated.stdout[-300:]


def test_the_container_file_fits_the_checkout(tmp_path: Path) -> None:
    text = (DEPLOY / "Containerfile").read_text().replace("\\\n", " ")
    for line in re.findall(r"^COPY (.+)$", text, re.MULTILINE):
        *sources, _to = line.split()
        assert all((ROOT / source).exists() for source in sources), line
    copied = {source for line in re.findall(r"^COPY (.+)$", text, re.MULTILINE) for source in line.split()[:-1]}
    packages = re.search(r"^packages = \[(.+)\]", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert packages is not None
    assert {name.split("/")[0] for name in re.findall(r'"(.+?)"', packages[1])} <= copied
    # Its environment is settings that load, and commands in its head and its end are ours.
    environment = dict(re.findall(r"(SIGAP_\w+)=(\S+)", re.search(r"^ENV (.+)$", text, re.MULTILINE)[1]))  # type: ignore[index]
    (tmp_path / "sigap.toml").write_text("")
    settings = load_settings(tmp_path / "sigap.toml", environment)
    assert settings.data_dir == Path("/var/lib/sigap")
    for words in re.findall(r"^#\s+podman run .* sigap( .*)?$", text, re.MULTILINE):
        parses(shlex.split(words) or ["gateway"])
    assert 'CMD ["gateway"]' in text
    assert f'ENTRYPOINT ["{INSTALLED}"]' in text
