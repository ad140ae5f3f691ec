"""A query asked of a database: checked, compiled, ready for a list, a count, groups or an export.

All of them are made from the one condition here, so what a chart counts is what its list shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, FromClause, Select, and_, func, literal, select

from keycensus_collector.ownership.intervals import at
from keycensus_collector.query.bind import bind
from keycensus_collector.query.bound import Bindings
from keycensus_collector.query.compile import compiled
from keycensus_collector.query.model import Query
from keycensus_collector.query.relations import (
    SEALED_KINDS,
    Tables,
    is_there,
    tables_for,
)


@dataclass(frozen=True, slots=True)
class Asked:
    """A query for one list: the tables that its rows come from, and which of them are meant.

    `counted` holds of the same rows, but of no more than a count up to `most` needs, which ends there.
    """

    bindings: Bindings
    tables: Tables
    condition: ColumnElement[bool]
    counted: ColumnElement[bool]
    most: int
    are_more: bool  # than that: it is known already
    known: list[ColumnElement[bool]]  # that a thing was known at the moment asked for

    @property
    def as_of_ms(self) -> int | None:
        """The past moment that it is about; None: now."""
        return self.bindings.as_of_ms

    @property
    def own(self) -> FromClause:
        """The table whose rows the list has."""
        table: FromClause = getattr(self.tables, self.bindings.target.removesuffix("s"))
        return table

    @property
    def identity(self) -> ColumnElement[Any]:
        """What names a row of the list: a hash, or a number."""
        column: ColumnElement[Any] = self.own.c[_IDENTITIES[self.bindings.target]]
        return column

    def key_columns(self, condition: ColumnElement[bool] | None = None) -> Select[Any]:
        """Return the keys that are meant, with the columns of a list of keys."""
        key = self.tables.key.c
        sealed = self.tables.kinds == SEALED_KINDS
        return select(
            key.key_id.label("id"),
            (key.kind if sealed else literal("private-key")).label("kind"),
            *(func.coalesce(key[name], empty).label(name) for name, empty in _OF_KEYS),
            key.live_places.label("live"),
            key.retained_places.label("retained"),
            key.hosts,
        ).where(self.condition if condition is None else condition)


_IDENTITIES = {
    "certificates": "sha256",
    "keys": "key_id",
    "places": "place_no",
    "hosts": "host_no",
    "gaps": "gap_no",
}
# What can't be known of a sealed key is empty where it is shown.
_OF_KEYS: tuple[tuple[str, str | int], ...] = (
    ("algorithm", ""),
    ("bits", 0),
    ("curve", ""),
    ("problem", ""),
)


def ask(
    connection: Connection,
    query: Query,
    target: str,
    now_ms: int,
    *,
    sealed: bool = False,
    host_labels: frozenset[str] | None = None,
) -> Asked:
    """Return a query for the list `target`; of keys `sealed` is the other half. QueryError points.

    `host_labels`: of which labels the host's own word counts; None: of all.
    """
    bindings = bind(query, target, now_ms)
    tables = tables_for(target, bindings.as_of_ms, sealed=sealed, host_labels=host_labels)
    known = _known(target, tables)
    condition, counted, most, are_more = compiled(connection, bindings, tables, known)
    return Asked(
        *(bindings, tables, and_(condition, *known), and_(counted, *known)),
        *(most, are_more, known),
    )


def asked_whole(connection: Connection, query: Query, target: str, now_ms: int) -> list[Asked]:
    """Return the query for all of a list: of keys, for both halves."""
    halves = (False, True) if target == "keys" else (False,)
    return [ask(connection, query, target, now_ms, sealed=sealed) for sealed in halves]


def _known(target: str, tables: Tables) -> list[ColumnElement[bool]]:
    """Return that a thing was known at the moment asked for."""
    if target == "places":
        return is_there(tables)
    if target == "gaps":
        return [at(tables.gap, tables.as_of_ms)]
    if target == "keys":
        live, retained = tables.key.c.live_places, tables.key.c.retained_places
        return [live + retained > 0] if tables.as_of_ms is None else []
    if tables.as_of_ms is None:
        return []
    if target == "hosts":
        return [tables.host.c.created_ms <= tables.as_of_ms]
    return [tables.certificate.c.first_seen_ms <= tables.as_of_ms]
