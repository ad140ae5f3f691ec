"""Conditions on fields as SQL: which column, and what the test of its kind means there."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, not_

from keycensus_collector.ownership.people import teams_of_user
from keycensus_collector.query.bound import Literal
from keycensus_collector.query.conditions import Known, Text, expected
from keycensus_collector.query.fields import Level
from keycensus_collector.query.matching import matches
from keycensus_collector.query.of_artifacts import OF_ARTIFACTS
from keycensus_collector.query.of_hosts import OF_HOSTS
from keycensus_collector.query.of_places import OF_PLACES
from keycensus_collector.query.owners import Owners
from keycensus_collector.query.patterns import text_matches
from keycensus_collector.query.recertified import is_recertified
from keycensus_collector.query.sources import Sources, Special


def condition(sources: Sources, literal: Literal, level: Level) -> ColumnElement[bool]:
    """Return what a condition means on the columns of one level."""
    special = _SPECIAL.get(literal.field.name)
    if special is not None:
        found = special(sources, literal, level)
    else:
        column = _column(sources, literal.field.name, level)
        found = matches(sources.connection, column, literal.test)
    return not_(found) if literal.negated else found


def _column(sources: Sources, name: str, level: Level) -> ColumnElement[Any]:
    table = getattr(sources.tables, level.value)
    column: ColumnElement[Any] = table.c[_COLUMNS[level].get(name, name.replace("-", "_"))]
    return column


# Columns whose name is not that of the field.
_COLUMNS: dict[Level, dict[str, str]] = {
    Level.CERTIFICATE: {
        "cn": "common_name",
        "expires": "not_after_ms",
        "issued": "not_before_ms",
        "ca": "is_ca",
        "signature": "signature_algorithm",
        "line": "line_no",
        "key": "algorithm",
        "first-seen": "first_seen_ms",
        "places": "live_places",
    },
    Level.KEY: {
        "key": "algorithm",
        "first-seen": "first_seen_ms",
        "places": "live_places",
    },
    Level.ENTRY: {},
    Level.PLACE: {
        "link": "target",
        "user": "owner",
        "scope": "scope_kind",
        "appeared": "first_seen_ms",
        "changed": "changed_ms",
    },
    Level.HOST: {
        "os": "operating_system",
        "agent": "agent_version",
        "last-seen": "last_seen_ms",
        "enrolled": "created_ms",
    },
    Level.GAP: {
        "gap-detail": "detail",
        "gap-since": "from_ms",
    },
}

# A team can be named so too: `owner="mine"`.
_MINE = Text("mine", "glob")


def _owned(sources: Sources, literal: Literal, level: Level) -> ColumnElement[bool]:
    """Look among what was worked out of owners; the fallback team owns what nobody else does."""
    owners = Owners(sources.connection, sources.tables, by_place=literal.field.name == "team")
    if isinstance(literal.test, Known):
        owned = owners.has_any(level)
        return owned if literal.test.known else not_(owned)
    test = expected(Text, literal.test)
    if test == _MINE:
        return owners.has_one_of(level, teams_of_user(sources.connection, sources.asker))
    return owners.has(level, lambda name: text_matches(name, test))


def _recertified(sources: Sources, literal: Literal, level: Level) -> ColumnElement[bool]:
    return is_recertified(sources.tables, literal.test, level, sources.now_ms)


_SPECIAL: dict[str, Special] = {
    "recertified": _recertified,
    "owner": _owned,
    "place-owner": _owned,
    "team": _owned,
    **OF_ARTIFACTS,
    **OF_PLACES,
    **OF_HOSTS,
}
