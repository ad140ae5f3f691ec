"""Rows that hold from one moment to another: which are meant, now or on a past day."""

from __future__ import annotations

from sqlalchemy import ColumnElement, FromClause, and_, or_


def at(table: FromClause, as_of_ms: int | None) -> ColumnElement[bool]:
    """Return that a row of a table with `from_ms` and `to_ms` holds, now or at a past moment."""
    if as_of_ms is None:
        return table.c.to_ms.is_(None)
    return and_(table.c.from_ms <= as_of_ms, or_(table.c.to_ms.is_(None), table.c.to_ms > as_of_ms))
