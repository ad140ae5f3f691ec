"""Rows whose newest state was not taken, so that they show at their places. In a batch's transaction.

An agent may send as many unfit rows as it likes: of one host so many are kept, and the rest is
counted in its agent's `refused`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, Insert, bindparam, delete, literal_column, select

from keycensus_collector.intake.bulk import KEYS, Bulk, Keyed
from keycensus_collector.intake.model import RefusedRow
from keycensus_collector.store.engine import upsert
from keycensus_collector.store.schema import refusal

KEPT = 1_000

_ANY = select(refusal.c.key).where(refusal.c.host_no == bindparam("host_no")).limit(1)
_TAKEN = Keyed(
    delete(refusal).where(
        refusal.c.host_no == bindparam("host"),
        refusal.c.row_class == bindparam("row_class"),
        refusal.c.key.in_(KEYS),
    )
)


def _upsert_refusal(connection: Connection) -> Insert:
    statement = upsert(connection, refusal)
    new = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=["host_no", "row_class", "key"],
        set_={
            "path": new.path,
            "reason": new.reason,
            "times": refusal.c.times + literal_column("1"),
        },
    )


_UPSERT = Bulk(_upsert_refusal, [column.name for column in refusal.columns])


def settle_refusals(
    connection: Connection,
    host_no: int,
    *,
    taken: Sequence[tuple[int, Iterable[bytes]]],
    refused: Sequence[RefusedRow],
    now_ms: int,
) -> None:
    """Forget rows that were taken, by class, and note those that were not."""
    if connection.execute(_ANY, {"host_no": host_no}).first() is not None:
        for row_class, keys in taken:
            forget_refusals(connection, host_no, row_class, keys)
    if not refused:
        return
    rows = {
        (row.row_class, row.key): (
            host_no,
            row.row_class,
            row.key,
            row.path,
            row.reason,
            now_ms,
            1,
        )
        for row in refused
    }
    known = {
        (row.row_class, row.key)
        for row in connection.execute(
            select(refusal.c.row_class, refusal.c.key).where(refusal.c.host_no == host_no)
        )
    }
    fresh = [key for key in sorted(rows) if key not in known][: max(0, KEPT - len(known))]
    kept = known.intersection(rows).union(fresh)
    _UPSERT.run(connection, [rows[key] for key in sorted(kept)])


def forget_refusals(
    connection: Connection, host_no: int, row_class: int, keys: Iterable[bytes]
) -> None:
    """Forget rows of a class that were taken, or that the host does not have any more."""
    _TAKEN.run(connection, keys, host=host_no, row_class=row_class)


def forget_unlisted(
    connection: Connection, host_no: int, row_class: int, listed: Iterable[bytes], within: Span
) -> None:
    """Forget refused rows that a complete list lacks, in the part of the keys that it covers."""
    after, last = within
    statement = select(refusal.c.key).where(
        refusal.c.host_no == host_no, refusal.c.row_class == row_class, refusal.c.key > after
    )
    if last is not None:
        statement = statement.where(refusal.c.key <= last)
    stale = set(connection.execute(statement).scalars()).difference(listed)
    if stale:
        forget_refusals(connection, host_no, row_class, stale)


# From above a key to another, or to the end.
Span = tuple[bytes, bytes | None]
