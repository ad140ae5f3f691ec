"""What holds from one moment to another: what is meant, now or on a past day."""

from __future__ import annotations

from sqlalchemy import ColumnElement, FromClause, and_, or_


def at(table: FromClause, as_of_ms: int | None) -> ColumnElement[bool]:
    """Return that a row of a table with `from_ms` and `to_ms` holds, now or at a past moment."""
    if as_of_ms is None:
        return table.c.to_ms.is_(None)
    return and_(table.c.from_ms <= as_of_ms, or_(table.c.to_ms.is_(None), table.c.to_ms > as_of_ms))


def made_by(table: FromClause, as_of_ms: int | None) -> list[ColumnElement[bool]]:
    """Return the conditions under which a row of a table with `created_ms` was there, or is."""
    return [] if as_of_ms is None else [table.c.created_ms <= as_of_ms]


def by_then(ended_ms: int | None, as_of_ms: int | None) -> int | None:
    """Return when something ended, if it has, or had by a past moment."""
    if ended_ms is None or as_of_ms is None:
        return ended_ms
    return ended_ms if ended_ms <= as_of_ms else None
