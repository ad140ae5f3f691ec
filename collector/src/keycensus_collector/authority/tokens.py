"""Enrolment tokens: the one secret that lets a new host in (protos/README.md, section 4.1).

The text of a token holds the pin of our anchor, so a host knows whom it talks to before it sends
anything. The database holds a hash of the secret; a use is spent by one statement in the
transaction that issues the certificate, so fifty at once get as many certificates as there are uses.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, insert, select, update

from keycensus_collector.access import audit
from keycensus_collector.errors import MissingError, Refusal, UsageError
from keycensus_collector.store.schema import host, token
from keycensus_collector.text import safe_text

ENROL_PURPOSE = "enrol"
DEFAULT_TTL_MS = 3_600_000
TTL_MOST_MS = 366 * 86_400_000
USES_MOST = 100_000
LABELS_MOST = 64
LABEL_KEY = r"[a-z0-9][a-z0-9._/-]{0,62}"
LABEL_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class NewToken:
    """A fresh token; `text` is shown once and never again. `expires_ms` is the collector's time."""

    token_id: str
    expires_ms: int
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Proof:
    """The two parts of what an agent shows."""

    token_id: str
    secret_hash: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class KnownToken:
    """A token whose secret was shown; it may still be spent, expired or revoked."""

    token_id: str
    purpose: str
    labels: dict[str, str]
    uses_left: int
    expires_ms: int
    revoked: bool
    host_no: int | None = None


def create(
    connection: Connection,
    *,
    anchor_spki: bytes,
    now_ms: int,
    actor: str,
    ttl_ms: int = DEFAULT_TTL_MS,
    uses: int = 1,
    labels: Mapping[str, str] | None = None,
    host_no: int | None = None,
) -> NewToken:
    """Make a token that pins the anchor; UsageError for a time to live, uses or labels out of range.

    `host_no` binds it to a host that was installed anew: who enrols with it becomes that host.
    """
    if not 1000 <= ttl_ms <= TTL_MOST_MS:
        raise UsageError("a token lives from 1s to 366d")
    if not 1 <= uses <= USES_MOST:
        raise UsageError(f"a token has 1 to {USES_MOST} uses")
    if host_no is not None and uses != 1:
        raise UsageError("a token for one host has one use")
    labels = dict(labels or {})
    if len(labels) > LABELS_MOST:
        raise UsageError(f"a token has at most {LABELS_MOST} labels")
    for key, value in labels.items():
        _check_label(key, value)
    token_id, secret = _text(secrets.token_bytes(8)), _text(secrets.token_bytes(24))
    connection.execute(
        insert(token).values(
            token_id=token_id,
            secret_hash=_hash(secret),
            purpose=ENROL_PURPOSE,
            labels=json.dumps(labels, sort_keys=True),
            uses_left=uses,
            created_ms=now_ms,
            expires_ms=now_ms + ttl_ms,
            created_by=safe_text(actor),
            host_no=host_no,
        )
    )
    audit.record(
        connection,
        at_ms=now_ms,
        actor=actor,
        action="token.create",
        subject=token_id,
        detail={"uses": uses, "ttl_ms": ttl_ms, "labels": labels, "host_no": host_no},
    )
    pin = _text(hashlib.sha256(anchor_spki).digest())
    return NewToken(token_id, now_ms + ttl_ms, f"kc1.{token_id}.{secret}.{pin}")


def _check_label(key: str, value: str) -> None:
    if not re.fullmatch(LABEL_KEY, key):
        raise UsageError(f"{key!r} is no label's key; write it in lower case, as in env")
    if len(value) > LABEL_CHARACTERS or not value.isprintable():
        raise UsageError(f"a label's value has at most {LABEL_CHARACTERS} printable characters")


def read_proof(text: str) -> Proof:
    """Split "<id>.<secret>" as an agent sends it; Refusal "token-unknown" if it is not that."""
    token_id, separator, secret = text.partition(".")
    if not separator or not (len(text) <= 64 and text.isascii()):
        raise _unknown()
    return Proof(token_id, _hash(secret))


def find(connection: Connection, proof: Proof) -> KnownToken:
    """Return the token that was shown; Refusal "token-unknown" if id or secret is wrong."""
    row = connection.execute(select(token).where(token.c.token_id == proof.token_id)).one_or_none()
    stored = bytes(32) if row is None else row.secret_hash
    if not hmac.compare_digest(stored, proof.secret_hash) or row is None:
        raise _unknown()
    return KnownToken(
        row.token_id,
        row.purpose,
        json.loads(row.labels),
        row.uses_left,
        row.expires_ms,
        row.revoked_ms is not None,
        row.host_no,
    )


def check(known: KnownToken, now_ms: int) -> None:
    """Refuse "token-revoked" or "token-expired"; whether a use is left is for `spend` to say."""
    if known.revoked:
        raise Refusal("token-revoked", "this token was revoked; ask for a new one")
    if known.expires_ms <= now_ms:
        raise Refusal(
            "token-expired",
            "this token has expired; an operator makes one with: keycensus-collector token create",
        )


def spend(connection: Connection, known: KnownToken, now_ms: int) -> None:
    """Take one use in one statement; Refusal "token-used" if none is left."""
    check(known, now_ms)
    result = connection.execute(
        update(token)
        .where(
            token.c.token_id == known.token_id,
            token.c.uses_left > 0,
            token.c.expires_ms > now_ms,
            token.c.revoked_ms.is_(None),
        )
        .values(uses_left=token.c.uses_left - 1)
    )
    if result.rowcount != 1:
        raise Refusal(
            "token-used",
            "this token has been used; one token lets one host in unless it was made with --uses. "
            "An operator makes a new one with: keycensus-collector token create",
        )


def revoke(connection: Connection, token_id: str, *, now_ms: int, actor: str) -> None:
    """End a token now; UsageError if there is none of that id. A second time changes nothing."""
    known = connection.execute(
        select(token.c.revoked_ms).where(token.c.token_id == token_id)
    ).one_or_none()
    if known is None:
        raise MissingError(f"there is no token {token_id!r}; see: keycensus-collector token list")
    if known.revoked_ms is None:
        connection.execute(
            update(token).where(token.c.token_id == token_id).values(revoked_ms=now_ms)
        )
        audit.record(connection, at_ms=now_ms, actor=actor, action="token.revoke", subject=token_id)


def list_tokens(
    connection: Connection, now_ms: int, *, limit: int | None = None, only_open: bool = False
) -> list[dict[str, Any]]:
    """Return tokens, newest first, with their state in one word; no secrets."""
    statement = (
        select(token, host.c.name.label("host"), host.c.host_id)
        .join(host, host.c.host_no == token.c.host_no, isouter=True)
        .order_by(token.c.created_ms.desc(), token.c.token_id)
        .limit(limit)
    )
    if only_open:
        statement = statement.where(
            token.c.revoked_ms.is_(None), token.c.uses_left > 0, token.c.expires_ms > now_ms
        )
    return [
        {
            "id": row.token_id,
            "state": _state(row.revoked_ms, row.expires_ms, row.uses_left, now_ms),
            "uses_left": row.uses_left,
            "created_ms": row.created_ms,
            "expires_ms": row.expires_ms,
            "labels": json.loads(row.labels),
            "host": row.host or "",
            "host_id": row.host_id or "",
            "created_by": row.created_by,
        }
        for row in connection.execute(statement)
    ]


def _state(revoked_ms: int | None, expires_ms: int, uses_left: int, now_ms: int) -> str:
    if revoked_ms is not None:
        return "revoked"
    if uses_left == 0:
        return "used"
    return "expired" if expires_ms <= now_ms else "open"


def _unknown() -> Refusal:
    return Refusal(
        "token-unknown",
        "this token is not known here; check that it was copied whole and is for this collector",
    )


def _text(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode("ascii").rstrip("=")


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8")).digest()
