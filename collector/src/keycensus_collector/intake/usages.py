"""Usages as intervals: who used which places, and what was presented. Inside a batch's transaction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from keycensus_collector.intake.bulk import KEYS, Keyed, insert_into
from keycensus_collector.intake.usage_rows import UsageChange
from keycensus_collector.store.schema import usage, usage_place

_OPEN = Keyed(
    select(usage).where(
        usage.c.host_no == bindparam("host"), usage.c.key.in_(KEYS), usage.c.to_ms.is_(None)
    )
)
_CLOSE = Keyed(update(usage).where(usage.c.usage_no.in_(KEYS)).values(to_ms=bindparam("at")))
_INSERT_PLACE = insert_into(usage_place)
_INSERT = insert(usage).returning(usage.c.usage_no)


def write_usages(
    connection: Connection, changes: Mapping[bytes, UsageChange], *, host_no: int, at_ms: int
) -> None:
    """Close the intervals of usages that went or changed, and open those of new and changed ones.

    One that only was asked again, with the same answer, goes on.
    """
    if not changes:
        return
    standing = {row.key: row for row in _OPEN.rows(connection, changes, host=host_no)}
    closed: list[int] = []
    opened: list[UsageChange] = []
    for key, change in sorted(changes.items()):
        row = standing.get(key)
        if row is not None and row.row_hash == change.row_hash:
            continue
        if row is not None and change.row and _says_the_same(connection, row, change):
            connection.execute(
                update(usage)
                .where(usage.c.usage_no == row.usage_no)
                .values(row=change.row, row_hash=change.row_hash, asked_ms=change.asked_ms)
            )
            continue
        if row is not None:
            closed.append(row.usage_no)
        if change.row:
            opened.append(change)
    _CLOSE.run(connection, closed, at=at_ms)
    for change in opened:
        _open(connection, change, host_no, at_ms)


def _says_the_same(connection: Connection, row: Any, change: UsageChange) -> bool:  # noqa: ANN401 - a row
    if any(getattr(row, name) != value for name, value in change.columns):
        return False
    named = connection.execute(
        select(usage_place.c.path_hash)
        .where(usage_place.c.usage_no == row.usage_no)
        .order_by(usage_place.c.path_hash)
    ).scalars()
    return tuple(named) == change.places


def _open(connection: Connection, change: UsageChange, host_no: int, at_ms: int) -> None:
    number = connection.execute(
        _INSERT,
        {
            "host_no": host_no,
            "key": change.key,
            "row_hash": change.row_hash,
            "row": change.row,
            "asked_ms": change.asked_ms,
            "from_ms": at_ms,
            "to_ms": None,
            **dict(change.columns),
        },
    ).scalar_one()
    _INSERT_PLACE.run(connection, [(number, path_hash) for path_hash in change.places])
