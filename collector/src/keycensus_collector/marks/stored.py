"""Set and lift marks, and read them. Each change is audited in its transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from keycensus_collector.access import audit
from keycensus_collector.errors import UsageError
from keycensus_collector.fold.chunks import chunked
from keycensus_collector.inventory.values import certificate_name, time_text
from keycensus_collector.ownership.intervals import at
from keycensus_collector.store.schema import certificate, public_key
from keycensus_collector.store.tables.marks import mark, reappearance
from keycensus_collector.text import safe_text

WORDS = ("compromised", "distrusted")
KINDS = ("certificate", "key")
REASON_CHARACTERS = 500
# After the compromise of an authority people mark its certificates one by one at worst.
MOST_STANDING = 10_000


@dataclass(frozen=True, slots=True)
class Mark:
    """A mark, as people see it. Times are RFC 3339 in UTC; `until` is null while it stands."""

    number: int
    mark: str  # "compromised", "distrusted"
    kind: str  # "certificate", "key"
    id: str
    name: str  # what people call it; empty: the inventory never saw it
    authority: bool  # reaches what is below, too
    reason: str
    by: str
    since: str | None
    until: str | None
    lifted_by: str
    lifted_reason: str
    reappeared: int  # how often a place began to hold what it reaches since
    query: str  # lists what it reaches


def set_mark(
    connection: Connection,
    *,
    kind: str,
    subject: bytes,
    word: str,
    reason: str,
    actor: str,
    now_ms: int,
) -> Mark:
    """Set a mark; UsageError if the same one stands already, or without a reason."""
    reason = check_reason(reason)
    same = select(mark.c.mark_no).where(
        at(mark, None), mark.c.kind == kind, mark.c.subject == subject, mark.c.word == word
    )
    if (number := connection.execute(same).scalar()) is not None:
        raise UsageError(
            f"this {kind} is marked {word} already, by mark {number}: lift that one first"
        )
    add_marks(connection, [(kind, subject)], word, reason=reason, actor=actor, now_ms=now_ms)
    number = connection.execute(same).scalar_one()
    audit.record(
        connection,
        at_ms=now_ms,
        actor=actor,
        action="mark.set",
        subject=subject.hex(),
        detail={"mark": word, "kind": kind, "reason": reason},
    )
    return _told(connection, [number])[0]


def lift_mark(
    connection: Connection, number: int, *, reason: str, actor: str, now_ms: int
) -> Mark | None:
    """End a mark; None if none of this number stands."""
    reason = check_reason(reason)
    changed = connection.execute(
        update(mark)
        .where(mark.c.mark_no == number, mark.c.to_ms.is_(None))
        .values(to_ms=now_ms, lifted_by=safe_text(actor), lifted_reason=safe_text(reason))
    )
    if not changed.rowcount:
        return None
    lifted = _told(connection, [number])[0]
    audit.record(
        connection,
        at_ms=now_ms,
        actor=actor,
        action="mark.lift",
        subject=lifted.id,
        detail={"mark": lifted.mark, "kind": lifted.kind, "reason": reason},
    )
    return lifted


def find_mark(connection: Connection, number: int) -> Mark | None:
    """Return one mark, standing or lifted; None if there is none of this number."""
    return next(iter(_told(connection, [number])), None)


def list_marks(
    connection: Connection, *, standing: bool, after: int | None, limit: int
) -> list[Mark]:
    """Return marks, the newest first, from behind number `after` on; only those that stand, or all."""
    numbers = select(mark.c.mark_no).order_by(mark.c.mark_no.desc()).limit(limit)
    if standing:
        numbers = numbers.where(at(mark, None))
    if after is not None:
        numbers = numbers.where(mark.c.mark_no < after)
    return _told(connection, list(connection.execute(numbers).scalars()))


def marks_on(connection: Connection, kind: str, subject: bytes) -> list[Mark]:
    """Return the marks that somebody set on this very thing, the newest first, lifted ones too."""
    numbers = select(mark.c.mark_no).where(mark.c.kind == kind, mark.c.subject == subject)
    ordered = numbers.order_by(mark.c.mark_no.desc())
    return _told(connection, list(connection.execute(ordered).scalars()))


def add_marks(
    connection: Connection,
    subjects: Sequence[tuple[str, bytes]],
    word: str,
    *,
    reason: str,
    actor: str,
    now_ms: int,
) -> None:
    """Write marks on what does not bear them, by kind and hash; UsageError if too many would stand."""
    standing = select(mark.c.mark_no).where(at(mark, None)).limit(MOST_STANDING)
    count = connection.execute(select(func.count()).select_from(standing.subquery())).scalar_one()
    if count + len(subjects) > MOST_STANDING:
        raise UsageError(
            f"more than {MOST_STANDING:,} marks would stand: mark a key or an authority, which"
            " reaches what is below"
        )
    said = {
        "word": word,
        "reason": safe_text(reason),
        "from_ms": now_ms,
        "set_by": safe_text(actor),
    }
    for chunk in chunked(subjects):
        rows = [{"kind": kind, "subject": subject, **said} for kind, subject in chunk]
        connection.execute(insert(mark), rows)


def check_reason(text: str) -> str:
    """Return the reason without blanks around it; UsageError if it is none, or too long."""
    text = text.strip()
    if not text or len(text) > REASON_CHARACTERS:
        raise UsageError(f"a mark needs a reason of at most {REASON_CHARACTERS} characters")
    return text


def _told(connection: Connection, numbers: Sequence[int]) -> list[Mark]:
    """Return marks by number, in this order."""
    rows = {
        row.mark_no: row
        for row in connection.execute(select(mark).where(mark.c.mark_no.in_(numbers)))
    }
    names = _names(connection, rows.values())
    authorities = _authorities(connection, rows.values())
    counts: dict[int, int] = {
        row[0]: row[1]
        for row in connection.execute(
            select(reappearance.c.mark_no, func.count())
            .where(reappearance.c.mark_no.in_(numbers))
            .group_by(reappearance.c.mark_no)
        )
    }
    return [
        Mark(
            number=number,
            mark=row.word,
            kind=row.kind,
            id=row.subject.hex(),
            name=names.get(row.subject, ""),
            authority=row.subject in authorities,
            reason=row.reason,
            by=row.set_by,
            since=time_text(row.from_ms),
            until=time_text(row.to_ms),
            lifted_by=row.lifted_by,
            lifted_reason=row.lifted_reason,
            reappeared=counts.get(number, 0),
            query=_query(row, authority=row.subject in authorities),
        )
        for number in numbers
        if (row := rows.get(number)) is not None
    ]


def _names(connection: Connection, rows: Any) -> dict[bytes, str]:  # noqa: ANN401 - rows of marks
    subjects = {row.subject for row in rows}
    named = {
        row.key_id: row.algorithm
        for row in connection.execute(
            select(public_key.c.key_id, public_key.c.algorithm).where(
                public_key.c.key_id.in_(subjects)
            )
        )
    }
    columns = certificate.c
    found = connection.execute(
        select(columns.sha256, columns.common_name, columns.names_text, columns.subject).where(
            columns.sha256.in_(subjects)
        )
    )
    return named | {row[0]: certificate_name(row[1], row[2], row[3], row[0]) for row in found}


def _authorities(connection: Connection, rows: Any) -> set[bytes]:  # noqa: ANN401 - rows of marks
    """Return the subjects that are authorities' certificates, or their keys."""
    subjects = {row.subject for row in rows}
    columns = certificate.c
    is_ca = columns.is_ca.is_(True)
    by_hash = select(columns.sha256).where(columns.sha256.in_(subjects), is_ca)
    by_key = select(columns.key_id).where(columns.key_id.in_(subjects), is_ca).distinct()
    return {*connection.execute(by_hash).scalars(), *connection.execute(by_key).scalars()}


def _query(row: Row[Any], *, authority: bool) -> str:
    field = "sha256" if row.kind == "certificate" else "key-id"
    own = f"{field}:{row.subject.hex()}"
    return f"({own} or under:{row.subject.hex()})" if authority else own
