"""A board's flash chip between two worlds: written by one world at a time."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path
from typing import TextIO

from sigap.problem import Problem
from simulator import image
from simulator.world.settings import BoardSettings


class Chip:
    """Holds the image's lock from `flash` to `release`."""

    def __init__(self, settings: BoardSettings) -> None:
        self._settings = settings
        self._lock: TextIO | None = None

    def flash(self, firmware: Path) -> None:
        """Write firmware and settings, keeping what the board has stored.

        Raises Problem when another world has the image, or the firmware does not compile.
        """
        settings = self._settings
        files = dict(settings.files)
        if settings.device is not None:
            files["device.json"] = json.dumps(settings.device).encode()
        settings.image.parent.mkdir(parents=True, exist_ok=True)
        self._take()
        if settings.reflash or not settings.image.exists():
            image.flash(settings.image, image.firmware_files(firmware) | files)
        elif files:
            image.write_files(settings.image, files)

    def _take(self) -> None:
        if self._lock is not None:
            return
        path = self._settings.image
        handle = path.with_name(path.name + ".lock").open("w")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            handle.close()
            raise Problem(f"the flash image {path} is in use", "Stop the other world first") from error
        self._lock = handle

    def release(self) -> None:
        """Let another world have the image; the board is off."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None
