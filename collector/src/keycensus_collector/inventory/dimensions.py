"""By what a list can be counted: each dimension says its values and, of each, the condition that means it.

Three sorts. A value of the thing itself is a column, and SQL groups by it; its condition is the term that
means the value. Where a thing may have several (owners, hosts, labels), or a value is a condition of its own
(state, renewal), each condition is counted by itself, with the compiler of the list: so a figure is what
its list shows, whatever else the query asks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, case, func, select, union_all

from keycensus_collector.inventory.counts import count
from keycensus_collector.query.ask import Asked, asked_whole
from keycensus_collector.query.fields import BY_NAME
from keycensus_collector.query.model import Node, Not, Places, Query, Term, both

DAY_MS = 86_400_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Weeks that are told one by one; what ends later is one group.
WEEKS = 52


@dataclass(frozen=True, slots=True)
class Asking:
    """A query for a list that is to be counted by something."""

    connection: Connection
    query: Query
    target: str
    now_ms: int
    most: int  # groups that are told

    def narrowed(self, node: Node) -> Query:
        """Return the query with a condition more."""
        return Query(both(self.query.expression, node), self.query.as_of, asker=self.query.asker)

    def count(self, node: Node) -> int:
        """Return how many the list has of that."""
        return count(self.connection, self.narrowed(node), self.target, self.now_ms)

    def whole(self) -> list[Asked]:
        """Return the query compiled."""
        return asked_whole(self.connection, self.query, self.target, self.now_ms)

    @property
    def moment_ms(self) -> int:
        """The moment that times of the query count from."""
        return self.whole()[0].bindings.now_ms


@dataclass(frozen=True, slots=True)
class Found:
    """One value: how many have it, and the condition that means it."""

    value: str
    count: int
    node: Node


@dataclass(frozen=True, slots=True)
class Counted:
    """What was found. `several`: a thing may have more than one value, so that counts add up to more."""

    found: list[Found]
    several: bool = False
    in_order: bool = False  # as they stand, not the largest first
    left_out: int = 0


Dimension = Callable[[Asking], Counted]


# --- values of columns ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OfColumns:
    """Groups by columns of the list's own rows. `node` makes the condition of a row of values."""

    columns: tuple[str, ...]
    node: Callable[..., Node]
    shown: Callable[..., str] = str

    def __call__(self, asking: Asking) -> Counted:
        """Count."""
        rows = _grouped(asking, lambda own: [own.c[name] for name in self.columns])
        return Counted([self._found(*row) for row in rows])

    def _found(self, *row: Any) -> Found:  # noqa: ANN401 - values of columns, and their count
        values, number = row[:-1], row[-1]
        if any(value is None for value in values):
            # What can't be known of a sealed key.
            return Found("sealed", number, Term("sealed", ":", "yes"))
        return Found(self.shown(*values), number, self.node(*values))


def _grouped(
    asking: Asking, columns: Callable[[Any], Sequence[ColumnElement[Any]]]
) -> list[tuple[Any, ...]]:
    """Return each row of values that is listed, with how often."""
    parts = [
        select(*(each.label(f"v{n}") for n, each in enumerate(columns(asked.own)))).where(
            asked.condition
        )
        for asked in asking.whole()
    ]
    found = union_all(*parts).subquery() if len(parts) > 1 else parts[0].subquery()
    rows = asking.connection.execute(select(*found.c, func.count()).group_by(*found.c))
    return [tuple(row) for row in rows]


def equal(field: str) -> Callable[[object], Node]:
    """Return what makes a condition on a text; empty is none, of what may have none."""

    def node(value: object) -> Node:
        if value == "" and BY_NAME[field].nullable:
            return Term(field, ":", "none")
        return Term(field, "=", str(value), quoted=True)

    return node


def is_(field: str) -> Callable[[object], Node]:
    """Return what makes a condition on a number or a word."""
    return lambda value: Term(field, ":", str(value))


def yes(field: str) -> Callable[[object], Node]:
    """Return what makes a condition on yes or no."""
    return lambda value: Term(field, ":", word(value))


def word(value: object) -> str:
    """Return yes or no."""
    return "yes" if value else "no"


def key_size(algorithm: str, bits: int) -> Node:
    """Return the condition on algorithm and size of a key."""
    node = both(Term("key", "=", algorithm, quoted=True), Term("bits", ":", str(bits)))
    return node if node is not None else Term("bits", ":", str(bits))


# --- times ----------------------------------------------------------------------------------------


def by_week(asking: Asking) -> Counted:
    """Count by the week of the end, a year ahead; what has ended and what ends later are a group each."""
    now_ms = asking.moment_ms
    monday = _start(now_ms // DAY_MS, "week")
    end = monday + timedelta(weeks=WEEKS + 1)
    last_day = (end - _EPOCH).days
    weeks: Counter[datetime] = Counter()
    others: Counter[str] = Counter()

    def day(own: Any) -> list[ColumnElement[Any]]:  # noqa: ANN401 - a table
        column = own.c.not_after_ms
        ahead = case((column >= last_day * DAY_MS, last_day), else_=column // DAY_MS)
        return [case((column < now_ms, -1), (column >= now_ms, ahead), else_=None)]

    for value, number in _grouped(asking, day):
        if value is None:
            others["unknown"] += number
        elif value < 0:
            others["expired"] += number
        elif value >= last_day:
            others["later"] += number
        else:
            weeks[_start(value, "week")] += number
    found = [Found("expired", others["expired"], Term("expires", "<", "0d"))]
    found += [_week(start, number, monday) for start, number in sorted(weeks.items())]
    found.append(Found("later", others["later"], Term("expires", ">=", f"{end:%Y-%m-%d}")))
    found.append(Found("unknown", others["unknown"], Term("expires", ":", "none")))
    return Counted([each for each in found if each.count], in_order=True)


def _week(start: datetime, number: int, this: datetime) -> Found:
    span = Term("expires", ":", f"{start:%Y-%m-%d}..{start + timedelta(days=6):%Y-%m-%d}")
    # Of this week, what has ended already is told with what has expired.
    node = both(span, Term("expires", ">=", "0d")) if start == this else span
    return Found(f"{start:%Y-%m-%d}", number, node or span)


def by_period(period: str) -> Dimension:
    """Return what counts by month or year of the end."""
    form = {"month": "%Y-%m", "year": "%Y"}[period]

    def counted(asking: Asking) -> Counted:
        starts: Counter[datetime | None] = Counter()
        for day, number in _grouped(asking, lambda own: [own.c.not_after_ms // DAY_MS]):
            starts[None if day is None else _start(day, period)] += number
        unknown = starts.pop(None, 0)
        named = sorted((start, number) for start, number in starts.items() if start is not None)
        found = [
            Found(start.strftime(form), number, Term("expires", ":", start.strftime(form)))
            for start, number in named
        ]
        if unknown:
            found.append(Found("unknown", unknown, Term("expires", ":", "none")))
        return Counted(found, in_order=True)

    return counted


def _start(day: int, period: str) -> datetime:
    try:
        date = _EPOCH + timedelta(days=day)
    except OverflowError:
        date = datetime(9999, 1, 1, tzinfo=UTC)
    if period == "week":
        return date - timedelta(days=date.weekday())
    return date.replace(day=1) if period == "month" else date.replace(month=1, day=1)


# --- conditions that are counted one by one ---------------------------------------------------------


def by_conditions(*conditions: tuple[str, Node], several: bool = False) -> Dimension:
    """Return what counts each of these conditions, in their order."""

    def counted(asking: Asking) -> Counted:
        found = [Found(value, asking.count(node), node) for value, node in conditions]
        return Counted([each for each in found if each.count], several=several, in_order=True)

    return counted


_EXPIRING = both(Term("expires", ">=", "0d"), Term("expires", "<", "30d"))
_OVERDUE, _RENEWED = Term("renewal", ":", "overdue"), Term("renewal", ":", "any")
_IN_TIME = both(_RENEWED, Not(_OVERDUE))
assert _EXPIRING is not None  # noqa: S101 - of two conditions there is something
assert _IN_TIME is not None  # noqa: S101 - likewise

by_state = by_conditions(
    ("expired", Term("expires", "<", "0d")),
    ("expiring", _EXPIRING),
    ("valid", Term("expires", ">=", "30d")),
    ("unknown", Term("expires", ":", "none")),
)
by_renewal = by_conditions(
    ("overdue", _OVERDUE),
    ("renewed", _IN_TIME),
    ("none", Places(exist=False, inner=_RENEWED)),
    several=True,
)
