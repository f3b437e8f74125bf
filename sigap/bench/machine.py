"""On what it was measured: no names and no paths, only what changes the figures."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def describe() -> str:
    """One line: cores, processor, memory, kernel, Python."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parts = [f"{cores} cores of {_processor()}", f"{_memory_gb():.0f} GB", f"{platform.system()} {platform.release()}"]
    return ", ".join([*parts, f"Python {platform.python_version()}"])


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _memory_gb() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
