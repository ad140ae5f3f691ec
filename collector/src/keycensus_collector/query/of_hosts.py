"""Conditions on hosts and their gaps, as SQL: name, state, gaps, labels."""

from __future__ import annotations

from sqlalchemy import ColumnElement, FromClause, exists, false, or_, select, true

from keycensus_collector.ownership.intervals import at
from keycensus_collector.query.bound import Literal
from keycensus_collector.query.conditions import Choice, Known, Path, Text, expected
from keycensus_collector.query.fields import Level
from keycensus_collector.query.labels import host_label
from keycensus_collector.query.patterns import path_matches, text_matches
from keycensus_collector.query.sources import Sources, Special
from keycensus_collector.store.schema import gap, host_state


def _host(sources: Sources, literal: Literal, _: Level) -> ColumnElement[bool]:
    test = expected(Text, literal.test)
    table = sources.tables.host.c
    named = text_matches(table.name, test)
    return or_(named, table.host_id == test.pattern.lower())


def _state(sources: Sources, literal: Literal, _: Level) -> ColumnElement[bool]:
    test = expected(Choice, literal.test)
    as_of_ms = sources.tables.as_of_ms
    if as_of_ms is None:
        return sources.tables.host.c.state == test.value
    return exists().where(
        host_state.c.host_no == sources.tables.host.c.host_no,
        host_state.c.state == test.value,
        at(host_state, as_of_ms),
    )


def _gap(sources: Sources, literal: Literal, level: Level) -> ColumnElement[bool]:
    if level is Level.GAP:
        return _is_so(sources, sources.tables.gap, literal)
    as_of_ms = sources.tables.as_of_ms
    there = at(gap, as_of_ms)
    gaps = select(gap.c.host_no).where(there)
    number, test = sources.tables.host.c.host_no, literal.test
    if isinstance(test, Known):
        return number.in_(gaps) if test.known else number.not_in(gaps)
    return number.in_(gaps.where(_is_so(sources, gap, literal)))


def _is_so(sources: Sources, gaps: FromClause, literal: Literal) -> ColumnElement[bool]:
    """Return that a gap's prefix or reason is as asked; each has one."""
    test = literal.test
    if isinstance(test, Known):
        return true() if test.known else false()
    if isinstance(test, Path):
        return path_matches(sources.connection, gaps.c.prefix, test, indexed=False)
    return text_matches(gaps.c.reason, expected(Text, test))


OF_HOSTS: dict[str, Special] = {
    "host": _host,
    "state": _state,
    "gap": _gap,
    "gap-reason": _gap,
    "label": host_label,
}
