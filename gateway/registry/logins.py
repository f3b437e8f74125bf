"""Sessions of the desk, and links that log in once. Only hashes of their tokens are kept."""

from __future__ import annotations

import hashlib
import hmac
import secrets

import sqlalchemy as sa

from gateway.registry.operators import Operator, get_operator
from gateway.store.schema import sessions

SESSION, LINK = "session", "link"
SESSION_US = 12 * 3600 * 1_000_000  # a shift
LINK_US = 10 * 60 * 1_000_000
MOST_SESSIONS = 20  # of one operator; the oldest gives way


def begin(conn: sa.Connection, operator_id: int, now_us: int, kind: str = SESSION) -> str:
    """A new session or link; its token, which is nowhere else."""
    token = secrets.token_urlsafe(32)
    mine = sessions.c.operator_id == operator_id
    conn.execute(sessions.delete().where(sessions.c.expires_at <= now_us))
    kept = sa.select(sessions.c.token_hash).where(mine).order_by(sessions.c.expires_at.desc()).limit(MOST_SESSIONS - 1)
    conn.execute(sessions.delete().where(mine, sessions.c.token_hash.not_in(kept)))
    expires_at = now_us + (LINK_US if kind == LINK else SESSION_US)
    values = {"token_hash": _hash(token), "operator_id": operator_id, "kind": kind, "expires_at": expires_at}
    conn.execute(sessions.insert().values(**values))
    return token


def find(conn: sa.Connection, token: str, now_us: int) -> Operator | None:
    """Whose session this is; None for one that ended, for a link, and for a revoked operator."""
    row = conn.execute(_live(token, SESSION, now_us)).first()
    operator = None if row is None else get_operator(conn, row.operator_id)
    return None if operator is None or operator.revoked else operator


def take_link(conn: sa.Connection, token: str, now_us: int) -> str | None:
    """A session for whoever brings a link, which is then used up; None for one that is not good any more."""
    row = conn.execute(_live(token, LINK, now_us)).first()
    if row is None or conn.execute(sessions.delete().where(sessions.c.token_hash == _hash(token))).rowcount != 1:
        return None
    return begin(conn, row.operator_id, now_us)


def end(conn: sa.Connection, token: str) -> None:
    """Log out."""
    conn.execute(sessions.delete().where(sessions.c.token_hash == _hash(token)))


def form_token(token: str) -> str:
    """What a form of this session must bring back (CSRF): bound to the session, and of no use to log in."""
    return hmac.new(token.encode(), b"sigap form", hashlib.sha256).hexdigest()


def is_form_token(token: str, brought: str) -> bool:
    """Compared in constant time."""
    return hmac.compare_digest(form_token(token).encode(), brought.encode())


def _live(token: str, kind: str, now_us: int) -> sa.Select:
    return sa.select(sessions).where(
        sessions.c.token_hash == _hash(token), sessions.c.kind == kind, sessions.c.expires_at > now_us
    )


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
