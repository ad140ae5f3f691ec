"""The one-time link with which the first admin sets a password at a browser.

`init` makes it for the first admin and prints it. The secret stands behind the "#" of the address, which
browsers send to nobody; the database holds a hash. It counts once, for a day, and not any more once its
user has a password or any admin has signed in: who finds an old one finds nothing.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field

from sqlalchemy import Connection, delete, insert, select

from keycensus_collector.access import audit, sessions
from keycensus_collector.access.users import set_password, user_no
from keycensus_collector.errors import MissingError
from keycensus_collector.store.schema import user
from keycensus_collector.store.tables.access import first_use
from keycensus_collector.text import safe_text

LIFE_MS = 24 * 3_600_000
HOW = "first-use"


@dataclass(frozen=True, slots=True)
class NewLink:
    """A link that was just made; `secret` is told once and never again."""

    expires_ms: int
    secret: str = field(repr=False)


def offer(connection: Connection, *, user_name: str, now_ms: int, actor: str) -> NewLink:
    """Make the link of a user; the one before, if any, counts no more."""
    secret, expires_ms = secrets.token_urlsafe(32), now_ms + LIFE_MS
    connection.execute(delete(first_use))
    connection.execute(
        insert(first_use).values(
            secret_hash=_hash(secret),
            user_no=user_no(connection, user_name),
            created_ms=now_ms,
            expires_ms=expires_ms,
        )
    )
    audit.record(connection, at_ms=now_ms, actor=actor, action="first-use.offer", subject=user_name)
    return NewLink(expires_ms, secret)


def is_open(connection: Connection, now_ms: int) -> bool:
    """Say whether there is a link that still counts."""
    found = select(first_use.c.user_no).where(first_use.c.expires_ms > now_ms)
    return connection.execute(found).first() is not None


def holder(connection: Connection, secret: str, now_ms: int) -> str:
    """Return the name of the user whose link has this secret; MissingError if none counts that has."""
    found = connection.execute(
        select(user.c.name)
        .join(first_use, first_use.c.user_no == user.c.user_no)
        .where(first_use.c.secret_hash == _hash(secret), first_use.c.expires_ms > now_ms)
    ).scalar_one_or_none()
    if found is None:
        raise MissingError(
            "this link was used, has expired, or is not whole: copy it again, or set the password on "
            "the collector's machine with: keycensus-collector user passwd admin"
        )
    return str(found)


def take(
    connection: Connection,
    *,
    secret: str,
    password_hash: str,
    visitor: sessions.Visitor,
    now_ms: int,
    former: str = "",
) -> sessions.NewSession:
    """Spend a link: set its user's password, by `users.hash_of`, and sign that one in.

    Raises MissingError as `holder`; of two at once one gets it.
    """
    name = holder(connection, secret, now_ms)
    actor = f"user:{name}"
    audit.record(
        connection,
        at_ms=now_ms,
        actor=actor,
        action="first-use.take",
        subject=name,
        detail={"address": safe_text(visitor.address)},
    )
    # Both take the link away.
    set_password(connection, name=name, password_hash=password_hash, now_ms=now_ms, actor=actor)
    return sessions.begin(
        connection,
        user_no=user_no(connection, name),
        how=HOW,
        visitor=visitor,
        now_ms=now_ms,
        former=former,
    )


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
