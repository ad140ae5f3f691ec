"""How many things a query lists: for summaries, views and whoever wants a number and no rows."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, func, literal_column, select, union_all

from keycensus_collector.query.ask import asked_whole
from keycensus_collector.query.model import Query


def count(
    connection: Connection, query: Query, target: str, now_ms: int, *, most: int | None = None
) -> int:
    """Return how many rows the list `target` has for a query; no more than `most` are counted."""
    one: ColumnElement[int] = literal_column("1")
    parts = [
        select(one.label("row"))
        .select_from(each.own)
        .where(each.condition if most is None else each.counted)
        for each in asked_whole(connection, query, target, now_ms)
    ]
    rows = select(union_all(*parts).subquery()) if len(parts) > 1 else parts[0]
    counted = select(func.count()).select_from(rows.limit(most).subquery())
    return connection.execute(counted).scalar_one()
