"""Gaps as intervals and usages as rows: the small classes of a batch. Inside its transaction."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, Insert, bindparam, delete, select, update

from keycensus_collector.intake.bulk import KEYS, Bulk, Keyed, insert_into
from keycensus_collector.intake.rows import GapChange, UsageChange
from keycensus_collector.store.engine import upsert
from keycensus_collector.store.schema import gap, usage

_OPEN_GAPS = Keyed(
    select(gap.c.gap_no, gap.c.key, gap.c.row_hash).where(
        gap.c.host_no == bindparam("host"), gap.c.key.in_(KEYS), gap.c.to_ms.is_(None)
    )
)
_CLOSE_GAPS = Keyed(update(gap).where(gap.c.gap_no.in_(KEYS)).values(to_ms=bindparam("at")))
_INSERT_GAP = insert_into(gap, leave_out=("gap_no",))
_DELETE_USAGES = Keyed(
    delete(usage).where(usage.c.host_no == bindparam("host"), usage.c.key.in_(KEYS))
)


def _upsert_usage(connection: Connection) -> Insert:
    statement = upsert(connection, usage)
    new = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=["host_no", "key"],
        set_={"row_hash": new.row_hash, "row": new.row, "changed_ms": new.changed_ms},
        where=usage.c.row_hash != new.row_hash,
    )


_UPSERT_USAGE = Bulk(_upsert_usage, [column.name for column in usage.columns])


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


def write_usages(
    connection: Connection, changes: Mapping[bytes, UsageChange], *, host_no: int, at_ms: int
) -> None:
    """Write new and changed usages, and delete those that went."""
    went = sorted(key for key, change in changes.items() if not change.row)
    _DELETE_USAGES.run(connection, went, host=host_no)
    rows = [
        (host_no, key, change.row_hash, change.row, at_ms)
        for key, change in sorted(changes.items())
        if change.row
    ]
    _UPSERT_USAGE.run(connection, rows)
