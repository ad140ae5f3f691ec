"""By what lists are sorted, forwards and backwards, and their pages in that order.

What is equal is told apart by its identity, so that a page starts behind the last row whatever came meanwhile.
An order that no index has takes all that a query lists: of more than a count goes to, it is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Row,
    Select,
    String,
    and_,
    case,
    func,
    literal_column,
    or_,
    select,
)

from keycensus_collector.errors import UsageError
from keycensus_collector.inventory.owners import first_owner
from keycensus_collector.inventory.paging import (
    count_up_to,
    decode_cursor,
    encode_cursor,
    first_page,
    hash_in,
)
from keycensus_collector.inventory.usages import worst_verdict
from keycensus_collector.query.ask import Asked
from keycensus_collector.query.relations import PRIVATE_KINDS
from keycensus_collector.query.revocation import is_revoked
from keycensus_collector.store.schema import gap, holding, host
from keycensus_collector.store.tables.ownership import CERTIFICATE, KEY

# Texts are told apart by so many characters: the last one of a page stands in the address of the next.
SORTED_CHARACTERS = 500

Columns = tuple[ColumnElement[Any], ...]


@dataclass(frozen=True, slots=True)
class Sort:
    """By which columns of its list's rows, of a query that was asked.

    `has_index`: there is one in this order. `may_lack`: the last column may be null; such rows come last.
    `of_today`: it is not known of a past day.
    """

    by: Callable[[FromClause, Asked], Columns]
    has_index: bool = False
    may_lack: bool = False
    of_today: bool = False


@dataclass(frozen=True, slots=True)
class Order:
    """The order of one answer: `by`, then `identity`. `word`: how it was asked for."""

    word: str
    sort: Sort
    by: Columns
    identity: Columns
    descending: bool = False

    @property
    def columns(self) -> list[ColumnElement[Any]]:
        """What a statement has to select, so that `next_of` can say where a page ended."""
        values = [*self.by, *self.identity]
        return [value.label(f"sort_{number}") for number, value in enumerate(values)]

    def next_of(self, rows: Sequence[Row[Any]], limit: int) -> str | None:
        """Return the cursor of the page behind these rows; None if there are no more than `limit`."""
        if len(rows) <= limit:
            return None
        values = [getattr(rows[limit - 1], f"sort_{number}") for number in range(self._length)]
        plain = [value.hex() if isinstance(value, bytes) else value for value in values]
        return encode_cursor([self.word, *plain])

    def first(
        self, connection: Connection, found: Select[Any], limit: int, most: int
    ) -> tuple[int, bool, Sequence[Row[Any]] | None]:
        """Return the count of a statement with `columns`, and its first rows; as `paging.first_page`."""
        names = [f"sort_{number}" for number in range(self._length)]
        lacking = names[len(self.by) - 1] if self.sort.may_lack else None
        return first_page(
            connection, found, names, limit, most, descending=self.descending, lacking=lacking
        )

    def rows(
        self, connection: Connection, statement: Select[Any], cursor: str, limit: int
    ) -> list[Row[Any]]:
        """Return the rows behind a cursor, at most `limit`: those that lack the last value in the end."""
        if not self.sort.may_lack:
            return list(connection.execute(self.statement(statement, cursor, limit)))
        after = self._after(cursor) if cursor else None
        *others, last = self.by
        rows: list[Row[Any]] = []
        if after is None or after[len(others)] is not None:
            there = statement.where(last.is_not(None))
            rows = list(connection.execute(self._part(there, self.by, after, limit)))
            after = None
        else:
            after = [*after[: len(others)], *after[len(self.by) :]]
        if len(rows) < limit:
            lacking = statement.where(last.is_(None))
            part = self._part(lacking, tuple(others), after, limit - len(rows))
            rows += connection.execute(part)
        return rows

    def statement(self, statement: Select[Any], cursor: str, limit: int) -> Select[Any]:
        """Return the statement of the rows behind a cursor, of an order whose values are all there."""
        return self._part(statement, self.by, self._after(cursor) if cursor else None, limit)

    def check(self, total: int, asked: Asked, *, exact: bool) -> None:
        """Refuse what can't be sorted so: too many without an index, or a past day's; UsageError."""
        name, target = self.word.removeprefix("-"), asked.bindings.target
        if self.sort.of_today and asked.as_of_ms is not None:
            raise UsageError(f"{name} is known of today alone: leave as-of out, or sort otherwise")
        if not self.sort.has_index and not (exact and total <= asked.most):
            soon = ", ".join(name for name, sort in SORTS[target].items() if sort.has_index)
            raise UsageError(
                f"more than {asked.most:,} {target} are too many to sort by {name}:"
                f" narrow the query down{f', or sort by {soon}' if soon else ''}"
            )

    @property
    def _length(self) -> int:
        return len(self.by) + len(self.identity)

    def _part(
        self, statement: Select[Any], by: Columns, after: Sequence[Any] | None, limit: int
    ) -> Select[Any]:
        columns = (*by, *self.identity)
        if after is not None:
            statement = statement.where(_behind(columns, after, descending=self.descending))
        order = [column.desc() if self.descending else column.asc() for column in columns]
        return statement.order_by(*order).limit(limit)

    def _after(self, cursor: str) -> list[Any]:
        word, *values = decode_cursor(cursor, 1 + self._length)
        if word != self.word:
            raise UsageError("the cursor is of a list that is sorted otherwise; start without one")
        columns = (*self.by, *self.identity)
        last = len(self.by) - 1 if self.sort.may_lack else None
        return [
            _value(column, value, may_lack=number == last)
            for number, (column, value) in enumerate(zip(columns, values, strict=True))
        ]


def order_of(asked: Asked, word: str, rows: FromClause, identity: Columns) -> Order:
    """Return the order that a word asks for: a name, backwards with "-" before it; "": the usual one.

    `asked`: the list, and the day; `rows`: what has its columns. UsageError names what it can be sorted by.
    """
    target = asked.bindings.target
    name = word.removeprefix("-")
    if not word:
        word = name = USUAL[target]
    if name not in SORTS[target]:
        raise UsageError(
            f"{target} can't be sorted by {name!r}, but by {', '.join(SORTS[target])};"
            " with - before it from the end"
        )
    sort = SORTS[target][name]
    return Order(word, sort, sort.by(rows, asked), identity, word.startswith("-"))


def sorted_page(
    connection: Connection,
    asked: Asked,
    order: Order,
    columns: Sequence[ColumnElement[Any]],
    *,
    limit: int,
    cursor: str,
    exactly: bool,
) -> tuple[int, bool, list[Row[Any]]]:
    """Return the total of what is asked, whether it is exact, and `limit` rows and one more, with `columns`."""
    of_count = asked.condition if exactly else asked.counted
    found = select(*columns, *order.columns)
    total, exact, rows = counted_rows(
        connection,
        order,
        found.where(of_count),
        asked,
        limit=limit,
        cursor=cursor,
        exactly=exactly,
    )
    if rows is None:
        rows = order.rows(connection, found.where(asked.condition), cursor, limit + 1)
    return total, exact, list(rows)


def counted_rows(
    connection: Connection,
    order: Order,
    found: Select[Any],
    asked: Asked,
    *,
    limit: int,
    cursor: str,
    exactly: bool,
) -> tuple[int, bool, Sequence[Row[Any]] | None]:
    """Return a total, and the first rows where they come with it; UsageError as `Order.check`."""
    rows: Sequence[Row[Any]] | None = None
    if asked.are_more and not exactly:
        total, exact = asked.most, False
    elif cursor or exactly:
        total, exact = count_up_to(connection, found, asked.most, exactly=exactly)
    else:
        total, exact, rows = order.first(connection, found, limit + 1, asked.most)
    order.check(total, asked, exact=exact)
    return total, exact, rows


def _behind(
    columns: Sequence[ColumnElement[Any]], values: Sequence[Any], *, descending: bool
) -> ColumnElement[bool]:
    """Return that a row comes behind these values; the first column alone, too, so that its index is used."""
    column, value = columns[0], values[0]
    further: ColumnElement[bool] = column < value if descending else column > value
    if len(columns) == 1:
        return further
    here = column <= value if descending else column >= value
    return and_(here, or_(further, _behind(columns[1:], values[1:], descending=descending)))


def _value(column: ColumnElement[Any], value: str | int | None, *, may_lack: bool) -> Any:  # noqa: ANN401
    """Return a value of a cursor as its column has it; UsageError if it is of another type."""
    if value is None and may_lack:
        return None
    type_ = column.type.python_type
    if type_ is bytes:
        return hash_in(value)
    if not isinstance(value, type_):
        raise UsageError("the cursor is damaged; start without one")
    return value


def _start(column: ColumnElement[Any]) -> ColumnElement[str]:
    return func.substr(column, 1, SORTED_CHARACTERS, type_=String)


def _column(name: str) -> Callable[[FromClause, Asked], Columns]:
    return lambda rows, _: (rows.c[name],)


def _text(*names: str) -> Callable[[FromClause, Asked], Columns]:
    """Return what sorts by texts, each by its start, and then numbers as they are."""
    return lambda rows, _: tuple(
        _start(rows.c[name]) if isinstance(rows.c[name].type, String) else rows.c[name]
        for name in names
    )


def _certificate_name(rows: FromClause, _: Asked) -> Columns:
    """Return the name as people see it: of several the first, which a line end keeps before longer ones."""
    columns = rows.c
    return (
        _start(
            case(
                (columns.common_name != "", columns.common_name),
                (columns.names_text != "", columns.names_text),
                else_=columns.subject,
            )
        ),
    )


def _importance(rows: FromClause, _: Asked) -> Columns:
    return rows.c.rank, rows.c.not_after_ms


def _host_name(rows: FromClause, _: Asked) -> Columns:
    name = select(host.c.name).where(host.c.host_no == rows.c.host_no).scalar_subquery()
    return (_start(name), *(_start(rows.c[each]) for each in ("path", "prefix") if each in rows.c))


def _gaps(rows: FromClause, _: Asked) -> Columns:
    open_ = select(func.count()).where(gap.c.host_no == rows.c.host_no, gap.c.to_ms.is_(None))
    return (open_.scalar_subquery(),)


def _held(*kinds: str) -> Callable[[FromClause, Asked], Columns]:
    """Return what sorts hosts by how many artifacts of these kinds stand there."""

    def by(rows: FromClause, _: Asked) -> Columns:
        held = select(func.count()).where(
            holding.c.host_no == rows.c.host_no, holding.c.kind.in_(kinds)
        )
        return (held.scalar_subquery(),)

    return by


def _owners(kind: int, identity: str) -> Callable[[FromClause, Asked], Columns]:
    """Return what sorts certificates or keys by the first of their owners as lists show them."""

    def by(rows: FromClause, asked: Asked) -> Columns:
        return (_start(first_owner(kind, rows.c[identity], asked.as_of_ms)),)

    return by


def _revoked(_: FromClause, asked: Asked) -> Columns:
    """Return what sorts certificates by what is said of them: revoked, not known, good."""
    tables, now_ms = asked.tables, asked.bindings.now_ms
    moment_ms = now_ms if asked.as_of_ms is None else asked.as_of_ms
    return (
        case(
            (is_revoked(tables, "yes", moment_ms), literal_column("0")),
            (is_revoked(tables, "no", moment_ms), literal_column("2")),
            else_=literal_column("1"),
        ),
    )


def _verdict(_: FromClause, __: Asked) -> Columns:
    return (worst_verdict(),)


# How each list is sorted unless told.
USUAL = {
    "certificates": "expiry",
    "keys": "id",
    "places": "place",
    "hosts": "name",
    "gaps": "place",
}
# By what each list can be sorted: mostly as its items call it.
SORTS: Mapping[str, Mapping[str, Sort]] = {
    "certificates": {
        "expiry": Sort(_column("not_after_ms"), has_index=True, may_lack=True),
        "importance": Sort(_importance, has_index=True, may_lack=True, of_today=True),
        "first_seen": Sort(_column("first_seen_ms"), has_index=True),
        "not_before": Sort(_column("not_before_ms"), may_lack=True),
        "name": Sort(_certificate_name),
        "issuer": Sort(_text("issuer")),
        "serial": Sort(_text("serial")),
        "algorithm": Sort(_text("algorithm", "bits", "curve")),
        "signature_algorithm": Sort(_text("signature_algorithm")),
        "live_places": Sort(_column("live_places"), of_today=True),
        "hosts": Sort(_column("hosts"), of_today=True),
        "owners": Sort(_owners(CERTIFICATE, "sha256")),
        # The worst first, as most who ask want them.
        "revoked": Sort(_revoked),
        "verdict": Sort(_verdict, of_today=True),
    },
    "keys": {
        "id": Sort(lambda _rows, _asked: (), has_index=True),
        "algorithm": Sort(_text("algorithm", "bits", "curve")),
        "live_places": Sort(_column("live"), of_today=True),
        "hosts": Sort(_column("hosts"), of_today=True),
        "owners": Sort(_owners(KEY, "id")),
    },
    "places": {
        # Host by host in the order in which they came, then by path: as they stand on the disk.
        "place": Sort(_text("host_no", "path"), has_index=True),
        "host": Sort(_host_name),
        "path": Sort(_text("path")),
        "format": Sort(_text("format")),
        "status": Sort(_text("status", "reason")),
        "role": Sort(_text("role", "use")),
        "mode": Sort(_column("mode")),
        "package": Sort(_text("package")),
        "changed": Sort(_column("changed_ms")),
    },
    "hosts": {
        "name": Sort(_column("name"), has_index=True),
        "state": Sort(_column("state")),
        "last_seen": Sort(_column("last_seen_ms")),
        "certificates": Sort(_held("certificate"), of_today=True),
        "keys": Sort(_held(*PRIVATE_KINDS), of_today=True),
        "gaps": Sort(_gaps, of_today=True),
        "operating_system": Sort(_text("operating_system")),
        "agent_version": Sort(_text("agent_version")),
    },
    "gaps": {
        "place": Sort(_text("host_no", "prefix"), has_index=True),
        "host": Sort(_host_name),
        "prefix": Sort(_text("prefix")),
        "reason": Sort(_text("reason")),
        "since": Sort(_column("from_ms")),
    },
}
