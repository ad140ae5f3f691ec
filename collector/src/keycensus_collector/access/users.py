"""Local users: names, roles, and passwords as argon2id hashes."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from keycensus_collector.access import audit
from keycensus_collector.access.permissions import ROLES
from keycensus_collector.access.sessions import end_all
from keycensus_collector.access.standing import SEES
from keycensus_collector.errors import ConflictError, MissingError, UsageError
from keycensus_collector.store.schema import user
from keycensus_collector.store.tables.access import first_use
from keycensus_collector.store.tables.oidc import oidc_account

_NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}\Z")
_LAST_ROLE = "admin"  # somebody always has it
_PASSWORD_LEAST = 12
_PASSWORD_MOST = 1024
_HASHER = PasswordHasher()  # argon2id with the library's current parameters (RFC 9106)


def add_user(connection: Connection, *, name: str, role: str, now_ms: int, actor: str) -> int:
    """Add a user without a password and return its number; UsageError if that can't be."""
    if not _NAME.match(name):
        raise UsageError(
            f"{name!r} is no user name; use 1 to 64 of a-z, 0-9 and . _ @ - , a letter or digit first"
        )
    check_role(role)
    try:
        result = connection.execute(
            insert(user).values(
                name=name, password_hash="", role=role, created_ms=now_ms, disabled_ms=None
            )
        )
    except IntegrityError:
        raise ConflictError(f"there is a user {name} already") from None
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


def hash_of(password: str) -> str:
    """Return a password's hash, which takes long; UsageError for one not of 12 to 1,024 characters."""
    if not _PASSWORD_LEAST <= len(password) <= _PASSWORD_MOST:
        raise UsageError(f"a password has {_PASSWORD_LEAST} to {_PASSWORD_MOST} characters")
    return _HASHER.hash(password)


def set_password(
    connection: Connection,
    *,
    name: str,
    password_hash: str,
    now_ms: int,
    actor: str,
    keep_session: str = "",
) -> None:
    """Set a user's password, by `hash_of`; ends their sessions but for the one of a cookie, and their link.

    UsageError if there is no such user.
    """
    number = user_no(connection, name)
    connection.execute(
        update(user).where(user.c.user_no == number).values(password_hash=password_hash)
    )
    connection.execute(delete(first_use).where(first_use.c.user_no == number))
    audit.record(connection, at_ms=now_ms, actor=actor, action="user.passwd", subject=name)
    end_all(connection, number, name=name, actor=actor, now_ms=now_ms, keep=keep_session)


def check_may_have_password(connection: Connection, name: str) -> None:
    """Refuse a password for who signs in at a provider of OpenID Connect: ConflictError; MissingError."""
    account = select(oidc_account.c.issuer).where(
        oidc_account.c.user_no == user_no(connection, name)
    )
    issuer = connection.execute(account.limit(1)).scalar_one_or_none()
    if issuer is not None:
        raise ConflictError(f"{name} signs in at {issuer}, and has their password there")


def password_matches(stored: str, password: str) -> bool:
    """Say whether a password has this hash; takes as long if there is none. Slow by purpose."""
    try:
        _HASHER.verify(stored or _dummy_hash(), password[:_PASSWORD_MOST])
    except (VerificationError, InvalidHashError):
        return False
    return bool(stored)


def change_user(
    connection: Connection,
    *,
    name: str,
    actor: str,
    now_ms: int,
    role: str | None = None,
    disabled: bool | None = None,
    sees: str | None = None,
    even_last: bool = False,
) -> None:
    """Change a user's role or what they see, or disable or enable them; any of it ends their sessions.

    UsageError if there is no such user or role, or nobody would be left who may do this, unless
    `even_last`: root on the collector's machine may always.
    """
    number = user_no(connection, name)
    values: dict[str, object] = {}
    if sees is not None:
        if sees not in SEES:
            raise UsageError(f"a user sees one of: {', '.join(SEES)}; not {sees!r}")
        values["sees"] = sees
    if role is not None:
        values["role"] = check_role(role)
    if disabled is not None:
        values["disabled_ms"] = now_ms if disabled else None
    if not even_last and (disabled or role not in (None, _LAST_ROLE) or sees == "teams"):
        _check_not_last(connection, number)
    if not values:
        return
    connection.execute(update(user).where(user.c.user_no == number).values(values))
    audit.record(
        connection,
        at_ms=now_ms,
        actor=actor,
        action="user.change",
        subject=name,
        detail={
            key: value
            for key, value in (("role", role), ("disabled", disabled), ("sees", sees))
            if value is not None
        },
    )
    end_all(connection, number, name=name, actor=actor, now_ms=now_ms)


def _check_not_last(connection: Connection, number: int) -> None:
    left = select(user.c.user_no).where(
        user.c.role == _LAST_ROLE, user.c.disabled_ms.is_(None), user.c.sees == "all"
    )
    if connection.execute(left).scalars().all() == [number]:
        raise ConflictError("no admin would be left; make another user an admin first")


def check_role(role: str) -> str:
    """Return a role; UsageError if there is none of this name."""
    if role not in ROLES:
        raise UsageError(f"{role!r} is no role; use one of: {', '.join(ROLES)}")
    return role


def user_no(connection: Connection, name: str) -> int:
    """Return a user's number; UsageError if there is none of that name."""
    number = connection.execute(
        select(user.c.user_no).where(user.c.name == name)
    ).scalar_one_or_none()
    if number is None:
        raise MissingError(
            f"there is no user {name!r}; list them with: keycensus-collector user list"
        )
    return int(number)


def list_users(connection: Connection, name: str = "") -> list[dict[str, Any]]:
    """Return every user, or the one of a name, without secrets, by name.

    `accounts`: issuers at which they sign in.
    """
    accounts: dict[int, list[str]] = {}
    for row in connection.execute(
        select(oidc_account.c.user_no, oidc_account.c.issuer).order_by(oidc_account.c.issuer)
    ):
        accounts.setdefault(row.user_no, []).append(row.issuer)
    statement = select(user).order_by(user.c.name)
    if name:
        statement = statement.where(user.c.name == name)
    rows = connection.execute(statement).mappings()
    return [
        {
            "name": row["name"],
            "role": row["role"],
            "sees": row["sees"],
            "created_ms": row["created_ms"],
            "disabled_ms": row["disabled_ms"],
            "has_password": bool(row["password_hash"]),
            "accounts": accounts.get(row["user_no"], []),
        }
        for row in rows
    ]


@cache
def _dummy_hash() -> str:
    """Return what an unknown user's password is compared with: the time taken must not tell."""
    return _HASHER.hash("no user has this password")
