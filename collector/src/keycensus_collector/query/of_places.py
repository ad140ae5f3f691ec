"""Conditions on places, as SQL: path, use, role, readers, and who uses them."""

from __future__ import annotations

from sqlalchemy import ColumnElement, and_, literal_column, not_, select, tuple_

from keycensus_collector.ownership.intervals import at
from keycensus_collector.query.bound import Literal
from keycensus_collector.query.conditions import Choice, Known, Path, Text, expected
from keycensus_collector.query.fields import Level
from keycensus_collector.query.matching import is_choice, matches
from keycensus_collector.query.patterns import path_matches, text_matches
from keycensus_collector.query.relations import live, owner_only, world_readable
from keycensus_collector.query.sources import Sources, Special
from keycensus_collector.store.schema import READ_STATUS, usage, usage_place
from keycensus_collector.store.tables.figures import odd_trust_store


def _path(sources: Sources, literal: Literal, _: Level) -> ColumnElement[bool]:
    test, named = expected(Path, literal.test), sources.path
    if named is not None:
        return path_matches(sources.connection, named, test, indexed=False)
    column = sources.tables.place.c.path
    return path_matches(sources.connection, column, test, indexed=sources.tables.as_of_ms is None)


def _use(sources: Sources, literal: Literal, _: Level) -> ColumnElement[bool]:
    if isinstance(literal.test, Known):
        return sources.tables.place.c.place_no.is_not(None)
    return is_choice(live(sources.tables), literal.test, "live")


def _role(sources: Sources, literal: Literal, _: Level) -> ColumnElement[bool]:
    column = sources.tables.place.c
    if isinstance(literal.test, Known) and literal.test.known:
        return column.place_no.is_not(None)
    return matches(sources.connection, column.role, literal.test)


def _status(sources: Sources, literal: Literal, _: Level) -> ColumnElement[bool]:
    column, test = sources.tables.place.c.status, expected(Text, literal.test)
    found = text_matches(column, test)
    if "*" in test.pattern or test.pattern.lower() == READ_STATUS:
        return found
    # Said twice, in the words of the index of what was not read.
    return and_(column != literal_column(f"'{READ_STATUS}'"), found)


def _readable(sources: Sources, literal: Literal, _: Level) -> ColumnElement[bool]:
    test = expected(Choice, literal.test)
    if test.value == "world":
        return world_readable(sources.tables)
    alone = owner_only(sources.tables)
    return alone if test.value == "owner" else not_(alone)


_USAGE = {"service": usage.c.service, "verdict": usage.c.verdict, "renewal": usage.c.renewal_tool}


def _used(sources: Sources, literal: Literal, _: Level) -> ColumnElement[bool]:
    """Look for a usage that names the place: a list of names of places, made once."""
    as_of_ms, spot = sources.tables.as_of_ms, sources.tables.place.c
    stands = at(usage, as_of_ms)
    column, test = _USAGE[literal.field.name], literal.test
    if isinstance(test, Known):
        condition: ColumnElement[bool] = column != ""
    else:
        condition = text_matches(column, expected(Text, test))
        if literal.field.name == "renewal" and expected(Text, test).pattern == "overdue":
            condition = usage.c.renewal_overdue.is_(True)
    named = (
        select(usage.c.host_no, usage_place.c.path_hash)
        .join(usage_place, usage_place.c.usage_no == usage.c.usage_no)
        .where(stands, condition)
    )
    found = tuple_(spot.host_no, spot.path_hash).in_(named)
    return not_(found) if isinstance(test, Known) and not test.known else found


def _fleet(sources: Sources, literal: Literal, _: Level) -> ColumnElement[bool]:
    """Look among the contents that are odd at their path, as it was found last."""
    spot, odd = sources.tables.place.c, odd_trust_store.c
    pairs = select(odd.path_hash, odd.manifest).correlate(None)
    # Twice: an index is on the contents alone.
    is_odd = and_(
        spot.manifest.in_(select(odd.manifest).correlate(None)),
        tuple_(spot.path_hash, spot.manifest).in_(pairs),
    )
    is_store = and_(spot.role == "trust-store", spot.use != "retained")
    return and_(is_store, is_choice(is_odd, literal.test, "differs"))


OF_PLACES: dict[str, Special] = {
    "path": _path,
    "fleet": _fleet,
    "use": _use,
    "role": _role,
    "status": _status,
    "readable-by": _readable,
    "service": _used,
    "verdict": _used,
    "renewal": _used,
}
