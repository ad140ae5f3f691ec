"""A list in groups: how many of what it lists have which value. For charts and reports.

Each group says the query that lists just its members, so a chart leads to its rows and agrees with them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, FromClause, func, select, union_all

from keycensus_collector.errors import UsageError
from keycensus_collector.query.ask import ask
from keycensus_collector.query.model import Node, Query, Term, both
from keycensus_collector.query.render import render

_DAY_MS = 86_400_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MOST_GROUPS = 1_000


@dataclass(frozen=True, slots=True)
class Group:
    """Those with one value. `query` lists them."""

    value: str
    count: int
    query: str


@dataclass(frozen=True, slots=True)
class Groups:
    """A list in groups, the largest first, or by time. `total`: of all, also of groups left out."""

    by: str
    total: int
    groups: list[Group]
    left_out: int  # groups


@dataclass(frozen=True, slots=True)
class _By:
    """How a list is grouped: a column, and the condition that a value of it stands for."""

    table: str
    column: str
    term: Callable[[Any], Term]
    shown: Callable[[Any], str] = str


def _equal(field: str) -> Callable[[Any], Term]:
    def term(value: object) -> Term:
        if value == "":
            return Term(field, ":", "none")
        return Term(field, "=", str(value), quoted=True)

    return term


def _number(field: str) -> Callable[[Any], Term]:
    return lambda value: Term(field, ":", str(value))


def _yes(field: str) -> Callable[[Any], Term]:
    return lambda value: Term(field, ":", "yes" if value else "no")


def _word(value: object) -> str:
    return "yes" if value else "no"


_OF_KEYS = {
    "key": ("algorithm", _equal("key")),
    "bits": ("bits", _number("bits")),
    "curve": ("curve", _equal("curve")),
}
_OF_HOSTS = {
    "state": _By("host", "state", _number("state")),
    "os": _By("host", "operating_system", _equal("os")),
    "agent": _By("host", "agent_version", _equal("agent")),
}
BY: dict[str, dict[str, _By]] = {
    "certificates": {
        **{name: _By("certificate", column, term) for name, (column, term) in _OF_KEYS.items()},
        "issuer": _By("certificate", "issuer", _equal("issuer")),
        "signature": _By("certificate", "signature_algorithm", _equal("signature")),
        "ca": _By("certificate", "is_ca", _yes("ca"), _word),
        "self-signed": _By("certificate", "self_signed", _yes("self-signed"), _word),
        "hosts": _By("certificate", "hosts", _number("hosts")),
    },
    "keys": {
        **{name: _By("key", column, term) for name, (column, term) in _OF_KEYS.items()},
        "hosts": _By("key", "hosts", _number("hosts")),
    },
    "places": {
        name: _By("place", column, _equal(name))
        for name, column in (
            *(("role", "role"), ("status", "status"), ("format", "format"), ("user", "owner")),
            *(("group", "group"), ("package", "package"), ("reason", "reason")),
        )
    },
    "hosts": _OF_HOSTS,
}
# Of times: by the day in SQL, put together here, so that no product's calendar is asked.
PERIODS = ("week", "month", "year")
TIMES = {"certificates": ("expires", "not_after_ms")}


def choices(target: str) -> list[str]:
    """Return what a list can be grouped by."""
    times = [f"{TIMES[target][0]}-{period}" for period in PERIODS] if target in TIMES else []
    return [*BY[target], *times]


def group(
    connection: Connection, query: Query, target: str, by: str, now_ms: int, *, limit: int = 100
) -> Groups:
    """Return what a query lists, in groups; UsageError if the list has no such."""
    if by not in choices(target):
        raise UsageError(
            f"{target} can't be grouped by {by!r}, but by {', '.join(choices(target))}"
        )
    if by in BY[target]:
        how = BY[target][by]
        counted = _counted(connection, query, target, how.column, now_ms)
        return _by_value(query, how, by, counted, limit)
    return _by_time(connection, query, target, by, now_ms)


def _counted(
    connection: Connection,
    query: Query,
    target: str,
    column: str,
    now_ms: int,
    *,
    day: bool = False,
) -> list[tuple[Any, int]]:
    """Return how often each value occurs in what is listed."""
    parts = []
    for sealed in (False, True) if target == "keys" else (False,):
        asked = ask(connection, query, target, now_ms, sealed=sealed)
        table: FromClause = getattr(asked.tables, target.removesuffix("s"))
        value: ColumnElement[Any] = table.c[column]
        if day:
            value = value // _DAY_MS
        parts.append(select(value.label("value")).where(asked.condition))
    found = union_all(*parts).subquery()
    rows = connection.execute(select(found.c.value, func.count()).group_by(found.c.value))
    return [(row[0], row[1]) for row in rows]


def _by_value(
    query: Query, how: _By, by: str, counted: list[tuple[Any, int]], limit: int
) -> Groups:
    rows = [(value, count) for value, count in counted if value is not None]
    rows.sort(key=lambda row: (-row[1], str(row[0])))
    groups = [
        Group(how.shown(value), count, _narrowed(query, how.term(value)))
        for value, count in rows[:limit]
    ]
    return Groups(by, sum(count for _, count in rows), groups, max(0, len(rows) - limit))


def _by_time(connection: Connection, query: Query, target: str, by: str, now_ms: int) -> Groups:
    field, column = TIMES[target]
    starts: Counter[datetime] = Counter()
    for day, count in _counted(connection, query, target, column, now_ms, day=True):
        if day is not None:
            starts[_start(day, by.rpartition("-")[2])] += count
    groups = [
        Group(_named(start, by), count, _narrowed(query, Term(field, ":", _span(start, by))))
        for start, count in sorted(starts.items())
    ]
    return Groups(by, sum(starts.values()), groups[:MOST_GROUPS], max(0, len(groups) - MOST_GROUPS))


def _start(day: int, period: str) -> datetime:
    try:
        date = _EPOCH + timedelta(days=day)
    except OverflowError:
        date = datetime(9999, 1, 1, tzinfo=UTC)
    if period == "week":
        return date - timedelta(days=date.weekday())
    return date.replace(day=1) if period == "month" else date.replace(month=1, day=1)


def _named(start: datetime, by: str) -> str:
    return start.strftime(
        {"week": "%Y-%m-%d", "month": "%Y-%m", "year": "%Y"}[by.rpartition("-")[2]]
    )


def _span(start: datetime, by: str) -> str:
    """Return the value of a query that means the whole period."""
    if by.endswith("-week"):
        return f"{start:%Y-%m-%d}..{start + timedelta(days=6):%Y-%m-%d}"
    return _named(start, by)


def _narrowed(query: Query, term: Node) -> str:
    return render(Query(both(query.expression, term), query.as_of))
