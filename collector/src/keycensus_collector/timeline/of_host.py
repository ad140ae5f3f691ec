"""The time line of a host: its places, its states, its owners."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, Row, func, select

from keycensus_collector.store.schema import host_state, place, place_version
from keycensus_collector.store.tables.ownership import host_owner, team
from keycensus_collector.timeline.changes import facts_of, what_changed
from keycensus_collector.timeline.model import Happening
from keycensus_collector.timeline.place_owners import owners_on_host


def happenings_on(
    connection: Connection, host_no: int, name: str, *, before_ms: int, limit: int
) -> tuple[list[Happening], int | None]:
    """Return what happened on a host before a moment, and from when on that is all; None: ever.

    Some `limit` versions of places are looked at, and those of the last one's moment.
    """
    moments = (
        select(place_version.c.from_ms)
        .join(place, place.c.place_no == place_version.c.place_no)
        .where(place.c.host_no == host_no, place_version.c.from_ms < before_ms)
        .order_by(place_version.c.from_ms.desc())
        .limit(limit + 1)
    )
    times = list(connection.execute(moments).scalars())
    # Whole moments: a batch is one, and half of it would be lost between two pages.
    since = times[-1] if len(times) > limit else None
    found = list(_at_places(connection, host_no, name, since or 0, before_ms))
    found += _states(connection, host_no, before_ms)
    found += _owners(connection, host_no, before_ms)
    found += owners_on_host(connection, host_no, name, before_ms)
    return [each for each in found if since is None or each.at_ms >= since], since


def _at_places(
    connection: Connection, host_no: int, name: str, since_ms: int, before_ms: int
) -> Iterator[Happening]:
    earlier = place_version.alias("earlier")
    last = (
        select(func.max(earlier.c.version_no))
        .where(
            earlier.c.place_no == place_version.c.place_no,
            earlier.c.version_no < place_version.c.version_no,
        )
        .correlate(place_version)
        .scalar_subquery()
    )
    rows = connection.execute(
        select(place_version, place.c.path, last.label("last_no"))
        .join(place, place.c.place_no == place_version.c.place_no)
        .where(
            place.c.host_no == host_no,
            place_version.c.from_ms >= since_ms,
            place_version.c.from_ms < before_ms,
        )
        .order_by(place_version.c.version_no)
    ).all()
    numbers = {row.last_no for row in rows if row.last_no is not None}
    known = {
        row.version_no: row
        for row in connection.execute(
            select(place_version).where(place_version.c.version_no.in_(numbers))
        )
    }
    for row in rows:
        yield from _of_step(known.get(row.last_no), row, name)


def _of_step(before: Row[Any] | None, after: Row[Any], name: str) -> Iterator[Happening]:
    was, now = before is not None and bool(before.row), bool(after.row)
    facts = facts_of(after)
    changes: list[tuple[str, str]] = []
    if now and not was:
        changes = [("appeared", " ".join(filter(None, (facts.use, facts.mode, facts.owner))))]
    elif was and not now:
        changes = [("gone", "")]
    elif before is not None and was:
        changes = what_changed(facts_of(before), facts)
        if before.manifest != after.manifest:
            changes.insert(0, ("changed", "what it holds"))
    for word, detail in changes:
        yield Happening(after.from_ms, word, name, after.path, detail, after.cause)


def _states(connection: Connection, host_no: int, before_ms: int) -> Iterator[Happening]:
    rows = connection.execute(
        select(host_state).where(host_state.c.host_no == host_no, host_state.c.from_ms < before_ms)
    )
    for row in rows:
        yield Happening(row.from_ms, "state", detail=f"{row.state}: {row.cause}")


def _owners(connection: Connection, host_no: int, before_ms: int) -> Iterator[Happening]:
    rows = connection.execute(
        select(host_owner.c.from_ms, host_owner.c.to_ms, host_owner.c.how, team.c.name)
        .join(team, team.c.team_no == host_owner.c.team_no)
        .where(host_owner.c.host_no == host_no)
    )
    for row in rows:
        if row.from_ms < before_ms:
            yield Happening(row.from_ms, "owner", detail=f"{row.name} owns it ({row.how})")
        if row.to_ms is not None and row.to_ms < before_ms:
            yield Happening(row.to_ms, "owner", detail=f"{row.name} owns it no more")
