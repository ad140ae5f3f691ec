"""How many things a query lists: for summaries, views and whoever wants a number and no rows."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, func, literal_column, select, union_all

from keycensus_collector.query.ask import Asked, asked_whole
from keycensus_collector.query.model import Query


def count(connection: Connection, query: Query, target: str, now_ms: int) -> int:
    """Return how many rows the list `target` has for a query."""
    asked = asked_whole(connection, query, target, now_ms)
    return _count(connection, asked, [each.condition for each in asked])


def count_bounded(
    connection: Connection, query: Query, target: str, now_ms: int
) -> tuple[int, bool]:
    """Return the same as far as the first page of that list counts, and whether it is all."""
    asked = asked_whole(connection, query, target, now_ms)
    most = min(each.most for each in asked)
    if any(each.are_more for each in asked):
        return most, False
    number = _count(connection, asked, [each.counted for each in asked], most + 1)
    return min(number, most), number <= most


def _count(
    connection: Connection,
    asked: Sequence[Asked],
    conditions: Sequence[ColumnElement[bool]],
    most: int | None = None,
) -> int:
    one: ColumnElement[int] = literal_column("1")
    parts = [
        select(one.label("row")).select_from(each.own).where(condition)
        for each, condition in zip(asked, conditions, strict=True)
    ]
    rows = select(union_all(*parts).subquery()) if len(parts) > 1 else parts[0]
    counted = select(func.count()).select_from(rows.limit(most).subquery())
    return connection.execute(counted).scalar_one()
