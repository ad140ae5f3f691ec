"""API tokens: what the `keycensus` command and scripts show to be let in.

Text is `kcu_<id>_<secret>` (the prefix lets scanners of source code find lost ones). The database
holds a hash of the secret only. 32 random bytes need no slow hash.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from keycensus_collector.access import audit
from keycensus_collector.access.permissions import Permission
from keycensus_collector.access.principals import Principal
from keycensus_collector.access.standing import standing_of
from keycensus_collector.access.users import user_no
from keycensus_collector.errors import Refusal, UsageError
from keycensus_collector.store.schema import api_token, user
from keycensus_collector.store.tables.ownership import team
from keycensus_collector.text import safe_text

DEFAULT_DAYS = 90
_DAY_MS = 86_400_000
_NAME_CHARACTERS = 200
_TOKEN = re.compile(r"kcu_([0-9a-f]{16})_([0-9a-f]{64})\Z")
# "Last used" is for people; writing it at every request would make each read a write.
_LAST_USED_STEP_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class NewApiToken:
    """A fresh token; `text` is shown once and never again."""

    token_id: str
    expires_ms: int
    text: str = field(repr=False)


def create_api_token(
    connection: Connection,
    *,
    user_name: str,
    name: str,
    now_ms: int,
    actor: str,
    days: int = DEFAULT_DAYS,
    permissions: Sequence[str] | None = None,
    teams: Collection[int] | None = None,
    most_ms: int | None = None,
) -> NewApiToken:
    """Make a token for a user, good for `days`, but not beyond the moment `most_ms`.

    `permissions`, `teams`: it may do and see no more than these, nor more than its user may when it is
    used; None: all that the user may. UsageError if there is no such user, or no such permission.
    """
    if not 1 <= days <= 3660:
        raise UsageError("an API token lives 1 to 3660 days")
    token_id, secret = secrets.token_hex(8), secrets.token_hex(32)
    expires_ms = now_ms + days * _DAY_MS
    if most_ms is not None:
        expires_ms = min(expires_ms, most_ms)
    if len(name) > _NAME_CHARACTERS:
        raise UsageError(f"a token's name has at most {_NAME_CHARACTERS} characters")
    connection.execute(
        insert(api_token).values(
            token_id=token_id,
            secret_hash=_hash(secret),
            user_no=user_no(connection, user_name),
            name=safe_text(name),
            created_ms=now_ms,
            expires_ms=expires_ms,
            permissions="" if permissions is None else json.dumps(checked(permissions)),
            teams="" if teams is None else json.dumps(sorted(teams)),
        )
    )
    audit.record(
        connection,
        at_ms=now_ms,
        actor=actor,
        action="api-token.create",
        subject=user_name,
        detail={
            "token_id": token_id,
            "name": safe_text(name),
            "permissions": None if permissions is None else sorted(permissions),
            "teams": None if teams is None else sorted(teams),
        },
    )
    return NewApiToken(token_id, expires_ms, f"kcu_{token_id}_{secret}")


def authenticate(connection: Connection, header_value: str | None, now_ms: int) -> Principal:
    """Return who sends `Authorization: Bearer kcu_…`; only reads.

    Raises Refusal "unauthenticated", whose text says whether a token is missing, unknown, expired
    or revoked (the last two only to one who has the secret).
    """
    scheme, _, text = (header_value or "").partition(" ")
    if scheme.lower() != "bearer" or not text.strip():
        raise Refusal(
            "unauthenticated",
            "send an API token, as in Authorization: Bearer kcu_…; see user token",
        )
    match = _TOKEN.match(text.strip())
    row = match and _find(connection, match[1])
    if not match or row is None or not hmac.compare_digest(row.secret_hash, _hash(match[2])):
        raise Refusal("unauthenticated", "this API token is not known here")
    if row.revoked_ms is not None or row.disabled_ms is not None:
        raise Refusal("unauthenticated", "this API token was revoked, or its user disabled")
    if row.expires_ms <= now_ms:
        raise Refusal(
            "unauthenticated",
            "this API token has expired; an operator makes one with: "
            "keycensus-collector user token NAME",
        )
    stale = row.last_used_ms is None or now_ms - row.last_used_ms >= _LAST_USED_STEP_MS
    standing = standing_of(connection, row, row.permissions, row.teams)
    return Principal(
        user=row.name,
        user_no=row.user_no,
        role=row.role,
        permissions=standing.permissions,
        teams=standing.teams,
        expires_ms=row.expires_ms,
        token_id=match[1],
        stale_use=stale,
    )


def note_use(connection: Connection, token_id: str, now_ms: int) -> None:
    """Write down that a token was used; for when `Principal.stale_use` says so."""
    connection.execute(
        update(api_token).where(api_token.c.token_id == token_id).values(last_used_ms=now_ms)
    )


def checked(permissions: Sequence[str]) -> list[str]:
    """Return the words of permissions, sorted; UsageError names one that is none."""
    for word in permissions:
        if word not in set(Permission):
            raise UsageError(f"{word!r} is no permission; docs/access.md lists them")
    return sorted(set(permissions))


def list_api_tokens(
    connection: Connection, now_ms: int, user_no: int | None = None
) -> list[dict[str, Any]]:
    """Return the tokens of one user or of all, the newest first, with their state and no secret."""
    statement = (
        select(api_token, user.c.name.label("user_name"), user.c.disabled_ms)
        .join(user, user.c.user_no == api_token.c.user_no)
        .order_by(api_token.c.created_ms.desc(), api_token.c.token_id)
    )
    if user_no is not None:
        statement = statement.where(api_token.c.user_no == user_no)
    names = {row.team_no: row.name for row in connection.execute(select(team))}
    return [
        {
            "id": row.token_id,
            "user": row.user_name,
            "name": row.name,
            "state": _state(row, now_ms),
            "permissions": json.loads(row.permissions) if row.permissions else None,
            "teams": [names.get(each, "?") for each in json.loads(row.teams)]
            if row.teams
            else None,
            "created_ms": row.created_ms,
            "expires_ms": row.expires_ms,
            "last_used_ms": row.last_used_ms,
        }
        for row in connection.execute(statement)
    ]


def revoke_api_token(
    connection: Connection, token_id: str, *, actor: str, now_ms: int, user_no: int | None = None
) -> bool:
    """End a token now; False if there is none of this id (of this user), or it is revoked already."""
    statement = update(api_token).where(
        api_token.c.token_id == token_id, api_token.c.revoked_ms.is_(None)
    )
    if user_no is not None:
        statement = statement.where(api_token.c.user_no == user_no)
    if not connection.execute(statement.values(revoked_ms=now_ms)).rowcount:
        return False
    owner = connection.execute(
        select(user.c.name)
        .join(api_token, api_token.c.user_no == user.c.user_no)
        .where(api_token.c.token_id == token_id)
    ).scalar_one()
    audit.record(
        connection,
        at_ms=now_ms,
        actor=actor,
        action="api-token.revoke",
        subject=owner,
        detail={"token_id": token_id},
    )
    return True


def _state(row: Row[Any], now_ms: int) -> str:
    if row.revoked_ms is not None:
        return "revoked"
    if row.disabled_ms is not None:
        return "disabled"
    return "expired" if row.expires_ms <= now_ms else "good"


def _find(connection: Connection, token_id: str) -> Row[*tuple[Any, ...]] | None:
    return connection.execute(
        select(
            api_token.c.secret_hash,
            api_token.c.expires_ms,
            api_token.c.revoked_ms,
            api_token.c.last_used_ms,
            api_token.c.permissions,
            api_token.c.teams,
            user.c.user_no,
            user.c.name,
            user.c.role,
            user.c.sees,
            user.c.disabled_ms,
        )
        .join(user, user.c.user_no == api_token.c.user_no)
        .where(api_token.c.token_id == token_id)
    ).one_or_none()


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("ascii")).digest()
