"""Sessions of people at a browser: what the cookie holds, for how long it counts, how it ends.

The cookie is 32 random bytes; the database holds a hash of them only. A session ends after an hour
without a request, after twelve hours in any case, at the sign-out, and when its user is disabled or
gets another role. The token against forged requests (CSRF) is made of the cookie by HMAC, so it needs
no place of its own and ends with it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field

from sqlalchemy import Connection, delete, insert, select, update

from keycensus_collector.access import audit
from keycensus_collector.access.principals import Principal
from keycensus_collector.access.standing import standing_of
from keycensus_collector.store.schema import user
from keycensus_collector.store.tables.access import first_use, user_session
from keycensus_collector.text import safe_text

IDLE_MS = 3_600_000
ABSOLUTE_MS = 12 * 3_600_000
# The last use is for the idle end: to the minute is enough, and keeps reads from being writes.
_USE_STEP_MS = 60_000
_TEXT = re.compile(r"[0-9a-f]{64}\Z")
_CSRF_LABEL = b"keycensus csrf 1"
_BROWSER_CHARACTERS = 200
_SHOWN_DIGITS = 16


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session that begins: `text` goes into the cookie and nowhere else."""

    csrf: str = field(repr=False)
    expires_ms: int
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who is at the other end of a connection, by what that shows."""

    address: str
    browser: str = ""


def begin(
    connection: Connection,
    *,
    user_no: int,
    how: str,
    visitor: Visitor,
    now_ms: int,
    former: str = "",
) -> NewSession:
    """Begin a session for a user; the one of the cookie that came with the sign-in ends.

    Once an admin signs in, the link of first use counts no more.
    """
    connection.execute(delete(user_session).where(user_session.c.expires_ms <= now_ms))
    if former:
        connection.execute(delete(user_session).where(user_session.c.session_hash == _hash(former)))
    text, expires_ms = secrets.token_hex(32), now_ms + ABSOLUTE_MS
    connection.execute(
        insert(user_session).values(
            session_hash=_hash(text),
            user_no=user_no,
            how=how,
            address=safe_text(visitor.address),
            browser=safe_text(visitor.browser[:_BROWSER_CHARACTERS]),
            created_ms=now_ms,
            last_used_ms=now_ms,
            expires_ms=expires_ms,
        )
    )
    who = connection.execute(
        select(user.c.name, user.c.role).where(user.c.user_no == user_no)
    ).one()
    if who.role == "admin":
        connection.execute(delete(first_use))
    audit.record(
        connection,
        at_ms=now_ms,
        actor=f"user:{who.name}",
        action="session.begin",
        subject=who.name,
        detail={"how": how, "address": safe_text(visitor.address)},
    )
    return NewSession(csrf_of(text), expires_ms, text)


def find(connection: Connection, text: str, now_ms: int) -> Principal | None:
    """Return whose session a cookie is; None for one that is none, or has ended. Only reads."""
    if not _TEXT.match(text):
        return None
    row = connection.execute(
        select(
            user_session.c.last_used_ms,
            user_session.c.expires_ms,
            user.c.user_no,
            user.c.name,
            user.c.role,
            user.c.sees,
        )
        .join(user, user.c.user_no == user_session.c.user_no)
        .where(user_session.c.session_hash == _hash(text), user.c.disabled_ms.is_(None))
    ).one_or_none()
    if row is None or row.expires_ms <= now_ms or row.last_used_ms + IDLE_MS <= now_ms:
        return None
    standing = standing_of(connection, row)
    return Principal(
        user=row.name,
        user_no=row.user_no,
        role=row.role,
        permissions=standing.permissions,
        teams=standing.teams,
        expires_ms=row.expires_ms,
        session_id=_hash(text).hex()[:_SHOWN_DIGITS],
        stale_use=now_ms - row.last_used_ms >= _USE_STEP_MS,
    )


def note_use(connection: Connection, text: str, now_ms: int) -> None:
    """Write down that a session was used; for when `Principal.stale_use` says so."""
    connection.execute(
        update(user_session)
        .where(user_session.c.session_hash == _hash(text))
        .values(last_used_ms=now_ms)
    )


def csrf_of(text: str) -> str:
    """Return the token that a form or a script of this session's own pages sends along."""
    return hmac.new(text.encode(), _CSRF_LABEL, hashlib.sha256).hexdigest()


def list_sessions(connection: Connection, user_no: int, now_ms: int) -> list[dict[str, object]]:
    """Return a user's sessions that have not ended, the newest first, without what is secret."""
    rows = connection.execute(
        select(user_session)
        .where(
            user_session.c.user_no == user_no,
            user_session.c.expires_ms > now_ms,
            user_session.c.last_used_ms > now_ms - IDLE_MS,
        )
        .order_by(user_session.c.created_ms.desc(), user_session.c.session_hash)
    )
    return [
        {
            "id": row.session_hash.hex()[:_SHOWN_DIGITS],
            "how": row.how,
            "address": row.address,
            "browser": row.browser,
            "created_ms": row.created_ms,
            "last_used_ms": row.last_used_ms,
            "expires_ms": row.expires_ms,
        }
        for row in rows
    ]


def end(connection: Connection, text: str, *, actor: str, now_ms: int) -> None:
    """End the session of a cookie."""
    if connection.execute(
        delete(user_session).where(user_session.c.session_hash == _hash(text))
    ).rowcount:
        _ended(connection, actor, actor.removeprefix("user:"), now_ms, 1)


def end_one(connection: Connection, user_no: int, shown: str, *, actor: str, now_ms: int) -> bool:
    """End one of a user's sessions, by its id as it is listed; False if there is none."""
    hashes = connection.execute(
        select(user_session.c.session_hash).where(user_session.c.user_no == user_no)
    ).scalars()
    meant = [each for each in hashes if each.hex()[:_SHOWN_DIGITS] == shown]
    if not meant:
        return False
    connection.execute(delete(user_session).where(user_session.c.session_hash.in_(meant)))
    _ended(connection, actor, actor.removeprefix("user:"), now_ms, len(meant))
    return True


def end_all(
    connection: Connection, user_no: int, *, name: str, actor: str, now_ms: int, keep: str = ""
) -> int:
    """End a user's sessions, but for the one of the cookie `keep`; return how many ended."""
    statement = delete(user_session).where(user_session.c.user_no == user_no)
    if keep:
        statement = statement.where(user_session.c.session_hash != _hash(keep))
    ended = connection.execute(statement).rowcount
    if ended:
        _ended(connection, actor, name, now_ms, ended)
    return ended


def _ended(connection: Connection, actor: str, name: str, now_ms: int, count: int) -> None:
    audit.record(
        connection,
        at_ms=now_ms,
        actor=actor,
        action="session.end",
        subject=name,
        detail={"sessions": count},
    )


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
