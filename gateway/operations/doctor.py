"""`sigap doctor`'s questions: each looks at one thing, changes nothing, and says what to do about what it finds."""

from __future__ import annotations

import ctypes
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from gateway.backend_settings import BACKEND
from gateway.broker.certificates import AUTHORITY_KEY, KEY
from gateway.broker.files import PASSWORDS
from gateway.operations import lines
from gateway.operations.findings import BAD, OK, WARN, Finding
from gateway.outbox import rows
from gateway.private_files import open_to_others
from gateway.settings import Settings
from gateway.store import keys, migrations
from gateway.store.engine import open_store
from gateway.store.schema import deliveries, events
from gateway.supervision import bases
from sigap.problem import Problem

LEAST_FREE_BYTES, FEW_FREE_BYTES = 200 << 20, 2 << 30
LATE_S = 20.0  # EN 50136-1 SP6: what is reported later than this is trouble
AHEAD_US = 60_000_000
_UNSYNCHRONIZED = 0x40  # STA_UNSYNC, adjtimex(2)


def examine(settings: Settings) -> Iterator[Finding]:
    """Every finding, in the order in which things depend on each other. A check that fails unforeseen is a finding."""
    checks: dict[str, Callable[[Settings], Iterator[Finding]]] = {
        "settings": _settings,
        "file modes": _modes,
        "clock": _clock,
        "disk": _disk,
        "store": _store,
        "broker": lines.broker,
        "gateway": lines.gateway,
        "bases": _bases,
        "backends": lines.backends,
        "outbox": _outbox,
    }
    for name, check in checks.items():
        try:
            yield from check(settings)
        except Problem as problem:
            yield Finding(name, BAD, problem.what, problem.todo)
        except (OSError, SQLAlchemyError, sqlite3.Error) as error:
            yield Finding(name, BAD, f"it could not be looked at: {error}", "Mend that, and ask again")


def _settings(settings: Settings) -> Iterator[Finding]:
    if len(settings.broker.password) < 12:
        todo = "Set a long random one; `sigap config init` writes one"
        yield Finding("settings", BAD, "[broker] password has fewer than 12 characters", todo)
    elif not settings.backends:
        yield Finding("settings", WARN, "no police backend is set", "Add [[backends]], or rely on the desk alone")
    else:
        yield Finding("settings", OK, f"{settings.file} fits")


def _modes(settings: Settings) -> Iterator[Finding]:
    broker = settings.broker_dir
    secret = [settings.file, settings.data_dir, settings.master_key, settings.data_dir / "sigap.db"]
    secret += [broker / name for name in (PASSWORDS, AUTHORITY_KEY, KEY)]
    found = [path for path in secret if path is not None and open_to_others(path)]
    for path in found:
        yield Finding("file modes", BAD, f"other users may read {path}", f"chmod go= {path}, and change what is in it")
    if not found:
        yield Finding("file modes", OK, "what is secret is its owner's only")


def _clock(_settings: Settings) -> Iterator[Finding]:
    unsynchronized = _kernel_says_unsynchronized()
    if unsynchronized:
        todo = "Install and start chrony or systemd-timesyncd: press times are counted from this clock"
        yield Finding("clock", WARN, "no time server sets this machine's clock", todo)
    elif unsynchronized is None:
        yield Finding("clock", WARN, "whether a time server sets the clock cannot be seen here", "See timedatectl")
    else:
        yield Finding("clock", OK, "a time server sets it")


def _kernel_says_unsynchronized() -> bool | None:
    """adjtimex(2) in reading mode; None where there is none."""
    try:
        timex = (ctypes.c_long * 64)()  # struct timex, generously; modes = 0: only read
        if ctypes.CDLL(None, use_errno=True).adjtimex(timex) < 0:
            return None
    except (OSError, AttributeError):
        return None
    # modes (u32, padded), offset, freq, maxerror, esterror, then status.
    return bool(ctypes.cast(timex, ctypes.POINTER(ctypes.c_int))[10] & _UNSYNCHRONIZED)


def _disk(settings: Settings) -> Iterator[Finding]:
    folder = settings.data_dir
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    says = f"{free / (1 << 30):.1f} GiB free at {folder}"
    if free < FEW_FREE_BYTES:
        todo = "Free some: when it is full, nothing is receipted, and buttons go on sending"
        yield Finding("disk", BAD if free < LEAST_FREE_BYTES else WARN, says, todo)
    else:
        yield Finding("disk", OK, says)


def _store(settings: Settings) -> Iterator[Finding]:
    url = sa.make_url(settings.store_url)
    if url.get_backend_name() == "sqlite":
        path = Path(url.database or "")
        if not path.exists():
            yield Finding("store", WARN, f"there is no database {path} yet", "The first start makes it")
            return
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as connection:
            said = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            has = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone()
            revision = connection.execute("SELECT version_num FROM alembic_version").fetchone()[0] if has else None
        if said != "ok":
            yield Finding("store", BAD, f"{path} is damaged: {said}", "`sigap restore` the newest backup, see the disk")
            return
        if revision != migrations.HEAD:
            todo = "`sigap backup` with the program that wrote it, then start this one"
            yield Finding("store", WARN, f"it has the schema {revision}, this program's is {migrations.HEAD}", todo)
            return
    with open_store(settings.store_url) as store:
        keyring = keys.keyring_of(store.engine.dialect)
        with store.read() as conn:
            newest = conn.execute(sa.select(sa.func.max(events.c.at))).scalar() or 0
            wrapped = conn.execute(sa.text("SELECT root_key FROM devices")).scalars().all()
        unknown = sum(not keyring.knows(bytes(each)) for each in wrapped)
    if unknown:
        todo = f"Put the key that they were wrapped under beside {keyring.path}"
        yield Finding("store", BAD, f"{unknown} devices' keys cannot be opened with master key {keyring.id}", todo)
    else:
        yield Finding("store", OK, f"whole; {len(wrapped)} devices' keys open with master key {keyring.id}")
    if newest > time.time() * 1e6 + AHEAD_US:
        yield Finding("clock", BAD, "the store has events from the future: the clock was set back", "Set it right")


def _bases(settings: Settings) -> Iterator[Finding]:
    """Base stations for LoRa, where there are any."""
    if not settings.bases.listed:
        return
    with open_store(settings.store_url) as store, store.read() as conn:
        known = {each["port"]: each for each in bases.listed(conn)}
    for port in settings.bases.listed:
        each = known.get(port)
        if each is None:
            todo = "Make one with `sigap base provision`, look at the cable, and whether this user may open the port"
            yield Finding("bases", BAD, f"no base station has spoken at {port}", todo)
        elif each["state"] != bases.ONLINE:
            says = f"the base station {each['base']} at {port} is {each['state']}"
            yield Finding("bases", BAD, says, "Look at its cable and its light; see `sigap bases`")
        else:
            yield Finding("bases", OK, f"the base station {each['base']} at {port} speaks")


def _outbox(settings: Settings) -> Iterator[Finding]:
    url = sa.make_url(settings.store_url)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
        return
    with open_store(settings.store_url) as store, store.read() as conn:
        backlog = rows.backlog(conn)
        dead = conn.execute(sa.select(sa.func.count()).where(deliveries.c.state == "dead")).scalar_one()
    now = time.time() * 1e6
    late = [each for each in backlog if now - each.oldest_at > LATE_S * 1e6]
    for each in late[:10]:
        age = f"{(now - each.oldest_at) / 1e6:.0f} s"
        says = f"{each.pending} deliveries to {each.destination} wait, the oldest for {age}: {each.last_error}"
        yield Finding("outbox", BAD if each.destination.startswith(BACKEND) else WARN, says, "See that destination")
    if len(late) > 10:
        yield Finding("outbox", WARN, f"{len(late) - 10} more destinations have late deliveries", "See /health")
    if dead:
        todo = "Somebody has to be told by telephone; then look at what refused them"
        yield Finding("outbox", BAD, f"{dead} deliveries were given up (dead letters)", todo)
    if not late and not dead:
        yield Finding("outbox", OK, f"{sum(each.pending for each in backlog)} deliveries wait, none is late")
