"""Marks on many things at once, set and lifted: what stands now, and one row of the audit log for all."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import Connection, select, update

from keycensus_collector.access import audit
from keycensus_collector.errors import UsageError
from keycensus_collector.fold.chunks import chunked
from keycensus_collector.marks.stored import KINDS, add_marks, check_reason
from keycensus_collector.ownership.assignments import Thing
from keycensus_collector.ownership.intervals import at
from keycensus_collector.store.tables.marks import mark
from keycensus_collector.text import safe_text

# Things that a row of the audit log names; it has the number of all.
_MOST_NAMED = 1_000


def marks_now(
    connection: Connection, things: Sequence[Thing], words: Collection[str]
) -> dict[Thing, str]:
    """Return of those that bear one of these marks themselves which; UsageError for what bears none."""
    if any(each.kind not in KINDS for each in things):
        raise UsageError("certificates, keys and authorities are marked")
    found: dict[Thing, set[str]] = {}
    for chunk in chunked(things):
        rows = connection.execute(
            select(mark.c.kind, mark.c.subject, mark.c.word).where(
                mark.c.subject.in_([each.artifact for each in chunk]),
                mark.c.word.in_(words),
                at(mark, None),
            )
        )
        for row in rows:
            found.setdefault(Thing(row.kind, artifact=row.subject), set()).add(row.word)
    return {each: ", ".join(sorted(found[each])) for each in things if each in found}


def set_marks(
    connection: Connection,
    things: Sequence[Thing],
    word: str,
    *,
    reason: str,
    actor: str,
    now_ms: int,
    query: str = "",
) -> None:
    """Mark things that do not bear the mark; `query`: what listed them, for the audit log."""
    reason = check_reason(reason)
    subjects = [(each.kind, each.artifact) for each in things]
    add_marks(connection, subjects, word, reason=reason, actor=actor, now_ms=now_ms)
    _record(
        connection,
        "mark.set",
        things,
        actor,
        now_ms,
        mark=word,
        reason=reason,
        **({"query": query} if query else {}),
    )


def lift_marks(
    connection: Connection,
    things: Sequence[Thing],
    words: Collection[str],
    *,
    reason: str,
    actor: str,
    now_ms: int,
    query: str = "",
) -> None:
    """Lift these marks on things; they stay in history."""
    reason = check_reason(reason)
    for kind in KINDS:
        hashes = [each.artifact for each in things if each.kind == kind]
        for chunk in chunked(hashes):
            connection.execute(
                update(mark)
                .where(
                    mark.c.kind == kind,
                    mark.c.subject.in_(chunk),
                    mark.c.word.in_(words),
                    mark.c.to_ms.is_(None),
                )
                .values(to_ms=now_ms, lifted_by=safe_text(actor), lifted_reason=safe_text(reason))
            )
    told = ", ".join(sorted(words))
    _record(
        connection,
        "mark.lift",
        things,
        actor,
        now_ms,
        mark=told,
        reason=reason,
        **({"query": query} if query else {}),
    )


def _record(
    connection: Connection,
    action: str,
    things: Sequence[Thing],
    actor: str,
    now_ms: int,
    **detail: str,
) -> None:
    if not things:
        return
    names = [each.name for each in things[:_MOST_NAMED]]
    audit.record(
        connection,
        at_ms=now_ms,
        actor=actor,
        action=action,
        subject=things[0].artifact.hex() if len(things) == 1 else f"{len(things):,} things",
        detail={**detail, "things": names, "count": len(things)},
    )
