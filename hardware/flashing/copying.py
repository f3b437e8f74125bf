"""Our firmware onto a board: only what differs, and in place at one moment.

Files go to /next first. When all are there with the right hashes, one program on the board moves them into place:
main.py is taken away before and comes last, so that a board that loses its power in between starts no mixture. A copy
that was cut off goes on from what lies in /next. What the board has stored (/device.json, /state, /journal) is not
touched.
"""

from __future__ import annotations

from dataclasses import dataclass

from hardware.flashing.repl import Repl
from hardware.flashing.rom import Progress
from sigap.firmware.bundle import MANIFEST, Bundle
from sigap.problem import Problem

STAGE = "/next"
_HELPERS = """
import os
def _remove(path):
    try:
        os.remove(path)
    except OSError:
        pass
def _folder(path):
    try:
        os.mkdir(path)
    except OSError:
        pass
def _walk(path):
    for entry in os.ilistdir(path):
        inner = path + "/" + entry[0]
        if entry[1] == 0x4000:
            yield from _walk(inner)
        else:
            yield inner
def _clear(path):
    try:
        entries = list(os.ilistdir(path))
    except OSError:
        return
    for entry in entries:
        inner = path + "/" + entry[0]
        if entry[1] == 0x4000:
            _clear(inner)
        else:
            os.remove(inner)
    os.rmdir(path)
"""


@dataclass(frozen=True)
class Copied:
    """written: files that were sent in this run; same: files that the board had already."""

    written: int
    same: int
    version: str


def copy(repl: Repl, bundle: Bundle, progress: Progress) -> Copied:
    """Bring the board to this bundle. Problem when it cannot run it, or the line breaks; then call it again."""
    _check_interpreter(repl, bundle)
    wanted = {name: entry["sha256"] for name, entry in bundle.manifest["files"].items()}
    progress("comparing", 0.0)
    there = repl.hashes([f"/{name}" for name in wanted], "comparing")
    changed = [name for name, digest in wanted.items() if there[f"/{name}"] != digest]
    staged = repl.hashes([f"{STAGE}/{name}" for name in changed], "comparing") if changed else {}
    progress("comparing", 1.0)
    send = [name for name in changed if staged[f"{STAGE}/{name}"] != wanted[name]]
    total = sum(len(bundle.files[name]) for name in send)
    done = 0
    for name in send:
        content, before = bundle.files[name], done
        repl.write(
            f"{STAGE}/{name}",
            content,
            f"copying {name}",
            lambda sent, before=before: progress("copying", (before + sent) / total),
        )
        done += len(content)
    if changed:
        staged = repl.hashes([f"{STAGE}/{name}" for name in changed], "verifying")
        _require(repl, {name: staged[f"{STAGE}/{name}"] for name in changed}, wanted, "on its way")
    progress("putting in place", 0.0)
    _put_in_place(repl, bundle, changed)
    there = repl.hashes([f"/{name}" for name in wanted], "verifying")
    _require(repl, {name: there[f"/{name}"] for name in wanted}, wanted, "in place")
    progress("putting in place", 1.0)
    return Copied(len(send), len(wanted) - len(send), bundle.manifest["version"])


def _check_interpreter(repl: Repl, bundle: Bundle) -> None:
    """The MicroPython on the board reads our .mpy files."""
    abi = repl.ask("getattr(sys.implementation, '_mpy', 0) & 0xff", "asking for its version", "import sys")
    if str(abi) != bundle.manifest["mpy"]:
        raise Problem(
            f"{repl.port}: its MicroPython reads .mpy version {abi}, the firmware has {bundle.manifest['mpy']}",
            "Flash the pinned MicroPython: `sigap flash` without --keep",
        )


def _require(repl: Repl, found: dict[str, str], wanted: dict[str, str], where: str) -> None:
    wrong = sorted(name for name, digest in found.items() if digest != wanted[name])
    if wrong:
        raise Problem(
            f"{repl.port}: {', '.join(wrong[:3])} arrived damaged ({where})", "Run it again; it sends them anew"
        )


def _put_in_place(repl: Repl, bundle: Bundle, changed: list[str]) -> None:
    """One program on the board, which needs nobody at the other end once it has begun."""
    names = list(bundle.files)
    folders = sorted(
        {"/".join(parts[: n + 1]) for parts in (x.split("/")[:-1] for x in names) for n in range(len(parts))}
    )
    top = sorted({folder.split("/")[0] for folder in folders})
    repl.write(f"{STAGE}/{MANIFEST}", bundle.manifest_bytes, "copying the manifest")
    moves = sorted(changed, key=lambda name: name == "main.py")
    code = f"""{_HELPERS}
moves, kept, folders, top = {moves!r}, {names!r}, {folders!r}, {top!r}
_remove("/{MANIFEST}")
if moves:
    if "main.py" not in moves:
        os.rename("/main.py", "{STAGE}/main.py")
        moves.append("main.py")
    else:
        _remove("/main.py")
for folder in folders:
    _folder("/" + folder)
for name in moves:
    if name != "main.py":
        os.rename("{STAGE}/" + name, "/" + name)
for folder in top:
    for path in list(_walk("/" + folder)):
        if path[1:] not in kept:
            os.remove(path)
if moves:
    os.rename("{STAGE}/main.py", "/main.py")
os.rename("{STAGE}/{MANIFEST}", "/{MANIFEST}")
_clear("{STAGE}")
"""
    repl.run(code, "putting the firmware in place")
