"""Labels as SQL: of a certificate itself, and of hosts by the most trusted source that says one."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    ColumnElement,
    case,
    cast,
    collate,
    func,
    not_,
    or_,
    select,
    type_coerce,
)

from keycensus_collector.ownership.intervals import at
from keycensus_collector.query.bound import Literal
from keycensus_collector.query.conditions import Known, Text, expected
from keycensus_collector.query.fields import Level
from keycensus_collector.query.patterns import text_matches
from keycensus_collector.query.sources import Sources
from keycensus_collector.store.tables.ownership import label

_SOURCES = ("manual", "token", "rule", "host")


def own_label(sources: Sources, literal: Literal, _: Level) -> ColumnElement[bool]:
    """Take a certificate's own label."""
    there = _has_own(sources, literal.label)
    if isinstance(literal.test, Known):
        return there if literal.test.known else not_(there)
    value = own_value(sources, literal.label)
    # Of a label that it has not, neither this nor its opposite holds; and it is not looked for.
    return case((there, text_matches(value, expected(Text, literal.test))), else_=None)


def _has_own(sources: Sources, key: str) -> ColumnElement[bool]:
    table, as_of_ms = sources.tables.certificate.c, sources.tables.as_of_ms
    line = func.coalesce(table.line_no, 0)
    return or_(
        table.sha256.in_(select(label.c.artifact).where(*_kept("certificate", key, as_of_ms))),
        line.in_(select(label.c.number).where(*_kept("line", key, as_of_ms))),
    )


def own_value(sources: Sources, key: str) -> ColumnElement[Any]:
    """Return the value of a certificate's own label: by hand, on it or its line, then by rule; or null."""
    table, as_of_ms = sources.tables.certificate.c, sources.tables.as_of_ms
    line = func.coalesce(table.line_no, 0)
    its_own, of_line = label.c.artifact == table.sha256, label.c.number == line
    return func.coalesce(
        _value("certificate", key, as_of_ms, its_own, label.c.source == "manual"),
        _value("line", key, as_of_ms, of_line),
        _value("certificate", key, as_of_ms, its_own),
    )


def host_label(sources: Sources, literal: Literal, _: Level) -> ColumnElement[bool]:
    """Take a host's label."""
    value = host_value(sources, literal.label)
    if isinstance(literal.test, Known):
        return value.is_not(None) if literal.test.known else value.is_(None)
    return text_matches(value, expected(Text, literal.test))


def host_value(sources: Sources, key: str) -> ColumnElement[Any]:
    """Return the value of a host's label by the most trusted source: hand, token, rule, its own word.

    Those by hand and rule are of the day that is asked for; a token's and the host's are of today.
    """
    labels, as_of_ms = sources.tables.host.c.labels, sources.tables.as_of_ms
    is_sqlite = sources.connection.dialect.name == "sqlite"
    document: Any = type_coerce(labels, JSON) if is_sqlite else cast(labels, JSON)
    mine = label.c.number == sources.tables.host.c.host_no
    kept = {
        source: _value("host", key, as_of_ms, mine, label.c.source == source)
        for source in ("manual", "rule")
    }
    claimed = {source: document[(source, key)].as_string() for source in ("token", "host")}
    trusted = sources.tables.host_labels
    own_word = trusted is None or key in trusted
    named = _SOURCES if own_word else [source for source in _SOURCES if source != "host"]
    value = func.coalesce(*((kept | claimed)[source] for source in named))
    # What comes out of a document has the order and the letters of PostgreSQL's own language.
    return value if is_sqlite else collate(value, "C")


def _kept(kind: str, key: str, as_of_ms: int | None) -> list[ColumnElement[bool]]:
    return [label.c.kind == kind, label.c.key == key, at(label, as_of_ms)]


def _value(
    kind: str, key: str, as_of_ms: int | None, *which: ColumnElement[bool]
) -> ColumnElement[Any]:
    found = select(label.c.value).where(*_kept(kind, key, as_of_ms), *which)
    return found.order_by(label.c.source).limit(1).correlate_except(label).scalar_subquery()
