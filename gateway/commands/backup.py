"""`sigap backup` and `sigap restore`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from gateway.clock import now_us
from gateway.commands.options import config_option, json_option, print_json, refresh_broker
from gateway.http import listen
from gateway.operations import restore as restoring
from gateway.operations.backup import default_name, make_backup
from gateway.settings import load_settings
from gateway.store.engine import open_store
from sigap.problem import USAGE, Problem


@click.command()
@click.option("--out", type=click.Path(path_type=Path), help="The new file, or a folder; else a file here.")
@click.option("--with-master-key", is_flag=True, help="Put the master key in too: then guard it as the devices' keys.")
@config_option
@json_option
def backup(out: Path | None, with_master_key: bool, config_path: Path, as_json: bool) -> None:
    """Write a verified backup while the gateway runs: database, settings, the broker's authority; mode 0600.

    \b
    sigap backup --out /var/backups/sigap/
    sigap restore /var/backups/sigap/polres-semarang-20261126T031500Z.sigap-backup
    """
    settings, now = load_settings(config_path), datetime.now(UTC)
    name = default_name(settings, now)
    target = Path(name) if out is None else out / name if out.is_dir() else out
    made = make_backup(settings, target, with_master_key=with_master_key, now=now)
    if as_json:
        print_json({"file": str(made.file), **made.manifest})
        return
    click.echo(f"wrote {made.file}")
    _say(made.manifest)


@click.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--in-place", is_flag=True, help="No FILE: the database was restored by its own tools; make it go on.")
@click.option("--replace", is_flag=True, help="Move a database that is there aside.")
@click.option("--look", is_flag=True, help="Say what is in it, and change nothing.")
@config_option
@json_option
def restore(file: Path | None, in_place: bool, replace: bool, look: bool, config_path: Path, as_json: bool) -> None:
    """Put the backup FILE in place. The gateway must not run; settings and keys that are there stay.

    \b
    sigap restore polres-semarang-20261126T031500Z.sigap-backup
    """
    if (file is None) != in_place:
        raise Problem("a backup is wanted, or --in-place", "`sigap restore FILE`", USAGE)
    if look and file is not None:
        manifest = restoring.read_manifest(file)
        print_json(manifest) if as_json else _say(manifest)
        return
    if config_path.exists():
        listen(load_settings(config_path).http).close()  # a Problem while a gateway runs
    if file is None:
        with open_store(load_settings(config_path).store_url) as store:
            went_on = restoring.go_on(store, now_us=now_us())
        said = f"commands go on in epoch {went_on.epoch}; {went_on.given_up} were given up; everybody is logged out"
        print_json({"epoch": went_on.epoch, "given_up": went_on.given_up}) if as_json else click.echo(said)
        return
    done = restoring.restore(file, config_path, replace=replace, now_us=now_us())
    settings = load_settings(config_path)
    with open_store(settings.store_url) as store:
        told = refresh_broker(settings, store)
    if as_json:
        more: dict[str, Any] = {name: [str(path) for path in getattr(done, name)] for name in ("written", "kept")}
        more |= {"database": str(done.database), "aside": None if done.aside is None else str(done.aside)}
        print_json({**more, "epoch": done.epoch, "given_up": done.given_up, "broker_told": told, **done.manifest})
        return
    for path in (done.database, *done.written):
        click.echo(f"wrote {path}")
    for path in done.kept:
        click.echo(f"kept {path}, which was there")
    if done.aside is not None:
        click.echo(f"the database that was there is {done.aside} now")
    _say(done.manifest)
    click.echo(f"{done.given_up} commands to devices were given up: ask again for what is still wanted")
    click.echo(f"what was revoked or added after {done.manifest['made_at']} has to be revoked or added again")


def _say(manifest: dict[str, Any]) -> None:
    rows = manifest["rows"]
    click.echo(f"of {manifest['gateway']}, made at {manifest['made_at']}: " + ", ".join(manifest["files"]))
    click.echo(", ".join(f"{number} {name}" for name, number in rows.items()))
    if manifest["master_key"] is None:
        under = ", ".join(manifest["wrapped_under"]) or "none yet"
        click.echo(f"the master key is NOT in it ({under}): a restore needs its file; keep a copy of it elsewhere")
    else:
        click.echo(f"the master key {manifest['master_key']} is in it: whoever reads this file can forge every alarm")
