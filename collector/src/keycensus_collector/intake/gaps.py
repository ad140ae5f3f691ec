"""Gaps as intervals. Inside a batch's transaction."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, bindparam, select, update

from keycensus_collector.intake.bulk import KEYS, Keyed, insert_into
from keycensus_collector.intake.rows import GapChange
from keycensus_collector.store.schema import gap

_OPEN_GAPS = Keyed(
    select(gap.c.gap_no, gap.c.key, gap.c.row_hash).where(
        gap.c.host_no == bindparam("host"), gap.c.key.in_(KEYS), gap.c.to_ms.is_(None)
    )
)
_CLOSE_GAPS = Keyed(update(gap).where(gap.c.gap_no.in_(KEYS)).values(to_ms=bindparam("at")))
_INSERT_GAP = insert_into(gap, leave_out=("gap_no",))


def write_gaps(
    connection: Connection, changes: Mapping[bytes, GapChange], *, host_no: int, at_ms: int
) -> None:
    """Close the intervals of gaps that went or changed, and open those of new and changed ones."""
    standing = {row.key: row for row in _OPEN_GAPS.rows(connection, changes, host=host_no)}
    closed = [row.gap_no for key, row in standing.items() if row.row_hash != changes[key].row_hash]
    _CLOSE_GAPS.run(connection, sorted(closed), at=at_ms)
    opened = [
        (
            host_no,
            key,
            new.row_hash,
            new.prefix,
            new.prefix_raw,
            new.reason,
            new.detail,
            at_ms,
            None,
        )
        for key, new in sorted(changes.items())
        if new.row_hash and not (key in standing and standing[key].row_hash == new.row_hash)
    ]
    _INSERT_GAP.run(connection, opened)
