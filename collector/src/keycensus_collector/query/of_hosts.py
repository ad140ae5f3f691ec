"""Conditions on hosts, as SQL: name, state, gaps, labels."""

from __future__ import annotations

from sqlalchemy import ColumnElement, exists, or_, select

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


def _gap(sources: Sources, literal: Literal, _: Level) -> ColumnElement[bool]:
    as_of_ms = sources.tables.as_of_ms
    there = at(gap, as_of_ms)
    gaps = select(gap.c.host_no).where(there)
    number, test = sources.tables.host.c.host_no, literal.test
    if isinstance(test, Known):
        return number.in_(gaps) if test.known else number.not_in(gaps)
    if isinstance(test, Path):
        gaps = gaps.where(path_matches(sources.connection, gap.c.prefix, test, indexed=False))
    elif isinstance(test, Text):
        gaps = gaps.where(text_matches(gap.c.reason, test))
    return number.in_(gaps)


OF_HOSTS: dict[str, Special] = {
    "host": _host,
    "state": _state,
    "gap": _gap,
    "gap-reason": _gap,
    "label": host_label,
}
