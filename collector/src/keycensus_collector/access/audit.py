"""The audit log: who did what to whom, written in the transaction that does it.

The rows are a chain: each has the hash of its content and of the hash before it, and one row of
`audit_chain` says which is the last. That row is written first, so that of several collectors at one
database one writes after the other. Who changes, removes or adds a row later breaks the chain; who can
write the whole database can make it anew, so a copy of the last hash elsewhere is worth having.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from keycensus_collector.store.schema import audit
from keycensus_collector.store.tables.access import audit_chain
from keycensus_collector.text import safe_text

_PAGE = 1_000
MOST_LISTED = 10_000


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the chain is whole: how many rows, the last hash, and what is wrong with the first bad row."""

    rows: int
    last_hash: str
    broken_no: int | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows are meant; empty text and None are no condition. `action`: it, or what begins so."""

    actor: str = ""
    action: str = ""
    subject: str = ""
    since_ms: int | None = None
    until_ms: int | None = None


def record(
    connection: Connection,
    *,
    at_ms: int,
    actor: str,
    action: str,
    subject: str,
    detail: Mapping[str, object] | None = None,
) -> None:
    """Add one line. `detail` goes in as JSON and holds no secret; text from outside is escaped."""
    chain = audit_chain.c
    before = connection.execute(
        update(audit_chain)
        .where(chain.chain_no == 1)
        .values(last_no=chain.last_no + 1)
        .returning(chain.last_no, chain.hash)
    ).one()
    content = {
        "audit_no": before.last_no,
        "at_ms": at_ms,
        "actor": safe_text(actor),
        "action": action,
        "subject": safe_text(subject),
        "detail": json.dumps(detail or {}, sort_keys=True),
    }
    hash_ = _hash(before.hash, list(content.values()))
    connection.execute(insert(audit).values(**content, hash=hash_))
    connection.execute(update(audit_chain).where(chain.chain_no == 1).values(hash=hash_))


def verify(connection: Connection) -> Verdict:
    """Follow the chain from its beginning; name the first row that is not as it was written."""
    hash_, rows, last_no = bytes(32), 0, 0
    for row in _all(connection):
        content = [row.audit_no, row.at_ms, row.actor, row.action, row.subject, row.detail]
        expected = _hash(hash_, content)
        if row.hash != expected:
            problem = "it, or a row before it, was changed, added or removed"
            return Verdict(rows, hash_.hex(), row.audit_no, problem)
        hash_, rows, last_no = expected, rows + 1, row.audit_no
    end = connection.execute(select(audit_chain)).one()
    if (end.last_no, end.hash) != (last_no, hash_):
        return Verdict(rows, hash_.hex(), end.last_no, "rows at the end were removed or added")
    return Verdict(rows, hash_.hex())


def list_rows(
    connection: Connection, wanted: Wanted, *, limit: int, before_no: int | None = None
) -> list[dict[str, Any]]:
    """Return rows, the newest first; `before_no`: only those before this one."""
    statement = select(audit).order_by(audit.c.audit_no.desc()).limit(min(limit, MOST_LISTED))
    if before_no is not None:
        statement = statement.where(audit.c.audit_no < before_no)
    if wanted.actor:
        statement = statement.where(audit.c.actor == wanted.actor)
    if wanted.action:
        statement = statement.where(audit.c.action.startswith(wanted.action, autoescape=True))
    if wanted.subject:
        statement = statement.where(audit.c.subject == wanted.subject)
    if wanted.since_ms is not None:
        statement = statement.where(audit.c.at_ms >= wanted.since_ms)
    if wanted.until_ms is not None:
        statement = statement.where(audit.c.at_ms < wanted.until_ms)
    return [_told(row) for row in connection.execute(statement)]


def rows_of(connection: Connection, numbers: Sequence[int]) -> list[dict[str, Any]]:
    """Return the rows of these numbers, the newest first."""
    wanted = select(audit).where(audit.c.audit_no.in_(numbers)).order_by(audit.c.audit_no.desc())
    return [_told(row) for row in connection.execute(wanted)]


def rows_after(connection: Connection, number: int, limit: int) -> list[dict[str, Any]]:
    """Return the rows that follow one, the oldest first."""
    following = select(audit).where(audit.c.audit_no > number).order_by(audit.c.audit_no)
    return [_told(row) for row in connection.execute(following.limit(limit))]


def _told(row: Row[Any]) -> dict[str, Any]:
    return {
        "number": row.audit_no,
        "at_ms": row.at_ms,
        "actor": row.actor,
        "action": row.action,
        "subject": row.subject,
        "detail": json.loads(row.detail),
        "hash": "" if row.hash is None else row.hash.hex(),
    }


def _all(connection: Connection) -> Iterator[Row[Any]]:
    last_no = -1
    while True:
        rows = connection.execute(
            select(audit).where(audit.c.audit_no > last_no).order_by(audit.c.audit_no).limit(_PAGE)
        ).all()
        yield from rows
        if len(rows) < _PAGE:
            return
        last_no = rows[-1].audit_no


def _hash(before: bytes, content: list[Any]) -> bytes:
    return hashlib.sha256(before + json.dumps(content).encode()).digest()
