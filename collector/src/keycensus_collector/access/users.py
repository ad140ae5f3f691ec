"""Local users: names, roles, and passwords as argon2id hashes."""

from __future__ import annotations

import re
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import IntegrityError

from keycensus_collector.access import audit
from keycensus_collector.access.permissions import ROLES
from keycensus_collector.errors import UsageError
from keycensus_collector.store.schema import user

_NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}\Z")
_PASSWORD_LEAST = 12
_PASSWORD_MOST = 1024
_HASHER = PasswordHasher()  # argon2id with the library's current parameters (RFC 9106)


def add_user(connection: Connection, *, name: str, role: str, now_ms: int, actor: str) -> int:
    """Add a user without a password and return its number; UsageError if that can't be."""
    if not _NAME.match(name):
        raise UsageError(
            f"{name!r} is no user name; use 1 to 64 of a-z, 0-9 and . _ @ - , a letter or digit first"
        )
    if role not in ROLES:
        raise UsageError(f"{role!r} is no role; use one of: {', '.join(ROLES)}")
    try:
        result = connection.execute(
            insert(user).values(
                name=name, password_hash="", role=role, created_ms=now_ms, disabled_ms=None
            )
        )
    except IntegrityError:
        raise UsageError(f"there is a user {name} already") from None
    audit.record(
        connection,
        at_ms=now_ms,
        actor=actor,
        action="user.add",
        subject=name,
        detail={"role": role},
    )
    key = result.inserted_primary_key
    return int(key[0]) if key is not None else user_no(connection, name)


def set_password(
    connection: Connection, *, name: str, password: str, now_ms: int, actor: str
) -> None:
    """Set a user's password (12 to 1,024 characters); UsageError if there is no such user."""
    if not _PASSWORD_LEAST <= len(password) <= _PASSWORD_MOST:
        raise UsageError(f"a password has {_PASSWORD_LEAST} to {_PASSWORD_MOST} characters")
    number = user_no(connection, name)
    connection.execute(
        update(user).where(user.c.user_no == number).values(password_hash=_HASHER.hash(password))
    )
    audit.record(connection, at_ms=now_ms, actor=actor, action="user.passwd", subject=name)


def password_matches(connection: Connection, *, name: str, password: str) -> bool:
    """Say whether this is the password of an enabled user; takes as long for one who is not."""
    stored = connection.execute(
        select(user.c.password_hash).where(user.c.name == name, user.c.disabled_ms.is_(None))
    ).scalar_one_or_none()
    try:
        _HASHER.verify(stored or _dummy_hash(), password[:_PASSWORD_MOST])
    except (VerificationError, InvalidHashError):
        return False
    return bool(stored)


def user_no(connection: Connection, name: str) -> int:
    """Return a user's number; UsageError if there is none of that name."""
    number = connection.execute(
        select(user.c.user_no).where(user.c.name == name)
    ).scalar_one_or_none()
    if number is None:
        raise UsageError(
            f"there is no user {name!r}; list them with: keycensus-collector user list"
        )
    return int(number)


def list_users(connection: Connection) -> list[dict[str, object]]:
    """Return every user, without secrets, by name."""
    rows = connection.execute(select(user).order_by(user.c.name)).mappings()
    return [
        {
            "name": row["name"],
            "role": row["role"],
            "created_ms": row["created_ms"],
            "disabled_ms": row["disabled_ms"],
            "has_password": bool(row["password_hash"]),
        }
        for row in rows
    ]


@cache
def _dummy_hash() -> str:
    """Return what an unknown user's password is compared with: the time taken must not tell."""
    return _HASHER.hash("no user has this password")
