"""Codes for the `keycensus` command: what a browser brings it back, to be exchanged for an API token.

As in RFC 8252, section 7.3, the browser is sent to a port of its own machine. The code counts once, for
a minute, and only with the verifier whose challenge (RFC 7636) stood in the link that began it.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field

from sqlalchemy import Connection, delete, insert, select

from keycensus_collector.access import tokens
from keycensus_collector.oidc.states import challenge_of
from keycensus_collector.store.schema import user
from keycensus_collector.store.tables.oidc import oidc_code

_LIFE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Redeeming:
    """What the command sends: the code, its verifier, and what the token is to be."""

    code: str = field(repr=False)
    verifier: str = field(repr=False)
    name: str
    days: int


def new_code(connection: Connection, *, user_no: int, challenge: str, now_ms: int) -> str:
    """Return a new code for a user; the database keeps a hash of it."""
    connection.execute(delete(oidc_code).where(oidc_code.c.expires_ms <= now_ms))
    code = secrets.token_hex(32)
    connection.execute(
        insert(oidc_code).values(
            code_hash=_hash(code),
            user_no=user_no,
            challenge=challenge,
            expires_ms=now_ms + _LIFE_MS,
        )
    )
    return code


def redeem(connection: Connection, wanted: Redeeming, now_ms: int) -> tokens.NewApiToken | None:
    """Return an API token for a code, which is spent by that whether it was good or not; None if not."""
    row = connection.execute(
        delete(oidc_code)
        .where(oidc_code.c.code_hash == _hash(wanted.code))
        .returning(oidc_code.c.user_no, oidc_code.c.challenge, oidc_code.c.expires_ms)
    ).one_or_none()
    if row is None or row.expires_ms <= now_ms:
        return None
    if not hmac.compare_digest(challenge_of(wanted.verifier), row.challenge):
        return None
    name = connection.execute(
        select(user.c.name).where(user.c.user_no == row.user_no, user.c.disabled_ms.is_(None))
    ).scalar_one_or_none()
    if name is None:
        return None
    return tokens.create_api_token(
        connection,
        user_name=name,
        name=wanted.name,
        now_ms=now_ms,
        actor=f"user:{name}",
        days=wanted.days,
    )


def _hash(code: str) -> bytes:
    return hashlib.sha256(code.encode()).digest()
