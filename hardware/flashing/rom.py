"""The chip's own bootloader, through the real esptool: which chip it is, erase, write, verify."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from hardware.flashing.images import Image
from hardware.flashing.port import lost
from sigap.problem import Problem

BAUD = 460800
LIMIT_S = 300
NAMES = {"ESP32": "esp32", "ESP32-S3": "esp32s3"}
BOOT = "Hold BOOT on the board, press and let go of RESET (or plug it in again), let go of BOOT, and run this again"

Progress = Callable[[str, float], None]
"""Called with what is being done and its share, 0 to 1."""


class Rom:
    """One command of esptool each; Problem for everything that goes wrong."""

    def __init__(self, port: str, progress: Progress) -> None:
        self._port, self._progress = port, progress

    def chip(self) -> tuple[str, int]:
        """(esp32 or esp32s3 or what else esptool calls it, flash in MB)."""
        said = self._run("looking for the chip", ["flash-id"], chip="auto")
        kind = re.search(r"Detecting chip type\.+ *(\S+)", said)
        size = re.search(r"Detected flash size: (\d+)MB", said)
        name = kind[1] if kind else "an unknown chip"
        return NAMES.get(name, name), int(size[1]) if size else 0

    def flash(self, image: Image, path: Path) -> None:
        """Erase the whole flash, write the image, read it back."""
        at = hex(image.offset)
        self._run("erasing", ["erase-flash"], chip=image.chip)
        self._run("writing MicroPython", ["write-flash", at, str(path)], chip=image.chip)
        self._run("verifying", ["verify-flash", at, str(path)], chip=image.chip)

    def _run(self, doing: str, arguments: list[str], chip: str) -> str:
        self._progress(doing, 0.0)
        command = [sys.executable, "-u", "-m", "esptool", "--chip", chip, "--port", self._port, "--baud", str(BAUD)]
        said = ""
        with subprocess.Popen(
            [*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        ) as process:
            assert process.stdout
            for line in process.stdout:
                said += line
                if share := re.search(r"Writing at .* (\d+(?:\.\d+)?)%", line):
                    self._progress(doing, float(share[1]) / 100)
        if process.returncode:
            raise self._problem(doing, said)
        self._progress(doing, 1.0)
        return said

    def _problem(self, doing: str, said: str) -> Problem:
        """What esptool's last words mean, and what to do."""
        chatter = ("Hint", "For troubleshooting", "NOTE")
        last = [line.strip() for line in said.splitlines() if line.strip() and not line.startswith(chatter)]
        fatal = next(
            (line for line in reversed(last) if "rror" in line or "xception" in line), last[-1] if last else ""
        )
        lower = said.lower()
        if "connected to" not in lower and ("busy or doesn't exist" in lower or "could not open" in lower):
            return Problem(f"{self._port} cannot be opened ({last[-1]})", "Look at the plug and the name of the port")
        if "failed to connect" in lower or "no serial data received" in lower or "wrong boot mode" in lower:
            return Problem(f"{self._port}: no chip answers while {doing}", BOOT)
        if "this chip is" in lower or "wrong --chip" in lower:
            return Problem(f"{self._port}: {fatal}", "Give the board that is plugged in by --board")
        if "digest mismatch" in lower or "verification failed" in lower or "does not match" in lower:
            return Problem(
                f"{self._port}: what was read back differs from what was written",
                "Run it again; then try another board",
            )
        return lost(self._port, doing, fatal)
