"""`make firmware`: build the bundle and say what it costs.

python -m sigap.firmware [--firmware FOLDER] [--out FOLDER] [--json]
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from sigap.firmware import bundle, compiling
from sigap.firmware.measuring import HEAP_KB, measure
from sigap.problem import Problem


@click.command()
@click.option("--firmware", "folder", type=click.Path(path_type=Path), default=compiling.FIRMWARE, show_default=False)
@click.option("--out", type=click.Path(path_type=Path), default=bundle.OUT, show_default=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of lines.")
def main(folder: Path, out: Path, as_json: bool) -> None:
    """Compile the firmware into a bundle, the same bytes each time, and measure it in the real MicroPython."""
    made = bundle.make(folder)
    bundle.write(made, out)
    ram = measure(made)
    manifest = made.manifest
    if as_json:
        shown = {key: manifest[key] for key in ("version", "mpy", "bundle")}
        click.echo(
            json.dumps({**shown, "out": str(out), "files": len(made.files), "size": made.size, "ram": asdict(ram)})
        )
        return
    click.echo(f"firmware {manifest['version']} (mpy {manifest['mpy']}) in {out}")
    click.echo(f"{len(made.files)} files, {made.size:,} bytes, sha256 {manifest['bundle']}")
    click.echo(
        f"in a heap of {HEAP_KB} kB: {ram.imported:,} bytes after import, {ram.running:,} when it runs, "
        f"{ram.free:,} free; largest allocation {ram.largest_allocation:,}, largest free block {ram.largest_free:,}"
    )


if __name__ == "__main__":
    try:
        main(standalone_mode=False)
    except Problem as problem:
        click.echo(f"sigap: {problem}", err=True)
        sys.exit(problem.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
