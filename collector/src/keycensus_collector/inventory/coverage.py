"""How much of the fleet was looked at: hosts by how far their agents came, gaps, places not read."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy import Connection, func, select

from keycensus_collector.inventory.counts import count
from keycensus_collector.inventory.figures import kept
from keycensus_collector.inventory.groups import counted_now
from keycensus_collector.inventory.values import time_text
from keycensus_collector.query.bind import bind
from keycensus_collector.query.model import Query
from keycensus_collector.query.parse import parse
from keycensus_collector.store.schema import gap, host, place, refusal

# Reasons and statuses are few; a hostile agent may make up more.
_MOST_GROUPS = 200
_NOT_RETIRED = "not state:retired"


@dataclass(frozen=True, slots=True)
class GapReason:
    """A reason for which agents could not look somewhere. `query` lists the hosts, and of the list of gaps the gaps."""

    reason: str
    hosts: int
    gaps: int
    query: str


@dataclass(frozen=True, slots=True)
class PlaceStatus:
    """A status of places. `query` lists them."""

    status: str
    places: int
    query: str


@dataclass(frozen=True, slots=True)
class Coverage:
    """Of hosts that report or were imported. Each count equals the total of the list that a query names.

    Of a past day None, or empty, is what is not known of it.
    """

    as_of: str | None
    hosts: int
    hosts_by_state: dict[str, int]
    without_agent: int  # named by lists of known hosts, and no agent reports: `state:known`
    complete: int | None  # looked at whole: `complete:yes gap:none`, not retired
    with_gaps: int  # `gap:any`, not retired
    unfinished: int | None  # its agent never finished a sweep: `complete:no`, not retired
    refused_rows: int | None  # what hosts reported and was not taken
    oldest: str | None  # the host that was heard of last the longest ago
    oldest_host: str
    gaps: list[GapReason]
    places: list[PlaceStatus]


def coverage(connection: Connection, now_ms: int) -> Coverage:
    """Return the fleet's coverage, by what agents reported last; as it is kept where counting takes long."""
    return kept_coverage(connection, now_ms) or count_coverage(connection, now_ms)


def kept_coverage(connection: Connection, now_ms: int) -> Coverage | None:
    """Return the fleet's coverage as it is kept; None if it is not."""
    plain = kept(connection, "coverage", "", now_ms)
    if plain is None:
        return None
    gaps = [GapReason(**each) for each in plain["gaps"]]
    return Coverage(
        **(plain | {"gaps": gaps, "places": [PlaceStatus(**each) for each in plain["places"]]})
    )


def count_coverage(connection: Connection, now_ms: int) -> Coverage:
    """Return the fleet's coverage as of now."""
    counted = host.c.state.not_in(("retired", "known"))
    numbers = select(host.c.host_no).where(counted)
    states = {
        row[0]: row[1]
        for row in connection.execute(
            select(host.c.state, func.count()).group_by(host.c.state).order_by(host.c.state)
        )
    }
    gapped = select(gap.c.host_no).where(gap.c.to_ms.is_(None), gap.c.host_no.in_(numbers))

    def hosts(*conditions: object) -> int:
        statement = select(func.count()).select_from(host).where(counted, *conditions)  # type: ignore[arg-type]
        return connection.execute(statement).scalar_one()

    oldest = connection.execute(
        select(host.c.last_seen_ms, host.c.name)
        .where(counted)
        .order_by(host.c.last_seen_ms, host.c.host_no)
        .limit(1)
    ).one_or_none()
    return Coverage(
        as_of=time_text(now_ms),
        hosts=hosts(),
        hosts_by_state=states,
        without_agent=states.get("known", 0),
        complete=hosts(host.c.complete.is_(True), host.c.host_no.not_in(gapped)),
        with_gaps=hosts(host.c.host_no.in_(gapped)),
        unfinished=hosts(host.c.complete.is_(False)),
        refused_rows=connection.execute(
            select(func.count()).select_from(refusal).where(refusal.c.host_no.in_(numbers))
        ).scalar_one(),
        oldest=None if oldest is None else time_text(oldest.last_seen_ms),
        oldest_host="" if oldest is None else oldest.name,
        gaps=_gaps(connection),
        places=_places(connection),
    )


def coverage_then(connection: Connection, day: Query, now_ms: int) -> Coverage:
    """Return the fleet's coverage as it was on the day of a query, counted as its lists count."""

    def asked(text: str) -> Query:
        return replace(parse(text), as_of=day.as_of, asker=day.asker)

    def groups(text: str, target: str, by: str) -> dict[str, int]:
        found = counted_now(connection, asked(text), target, by, now_ms, limit=_MOST_GROUPS)
        return {each.value: each.count for each in found.groups}

    states = groups("", "hosts", "state")
    reasons = groups(_NOT_RETIRED, "gaps", "reason")
    return Coverage(
        as_of=time_text(bind(day, "hosts", now_ms).as_of_ms),
        hosts=count(connection, asked("not state:known not state:retired"), "hosts", now_ms),
        hosts_by_state=states,
        without_agent=states.get("known", 0),
        complete=None,
        with_gaps=count(
            connection, asked("gap:any not state:retired not state:known"), "hosts", now_ms
        ),
        unfinished=None,
        refused_rows=None,
        oldest=None,
        oldest_host="",
        gaps=[
            GapReason(
                reason,
                count(connection, asked(_of_reason(reason)), "hosts", now_ms),
                number,
                _of_reason(reason),
            )
            for reason, number in reasons.items()
        ],
        places=[
            PlaceStatus(status, number, _of_status(status))
            for status, number in groups(_NOT_RETIRED, "places", "status").items()
        ],
    )


def _of_reason(reason: str) -> str:
    return f'gap-reason="{reason}" {_NOT_RETIRED}'


def _of_status(status: str) -> str:
    return f'status="{status}" {_NOT_RETIRED}'


def _gaps(connection: Connection) -> list[GapReason]:
    gaps = func.count()
    rows = connection.execute(
        select(gap.c.reason, func.count(gap.c.host_no.distinct()), gaps)
        .join(host, host.c.host_no == gap.c.host_no)
        .where(gap.c.to_ms.is_(None), host.c.state != "retired")
        .group_by(gap.c.reason)
        .order_by(gaps.desc(), gap.c.reason)
    )
    return [GapReason(row[0], row[1], row[2], _of_reason(row[0])) for row in rows]


def _places(connection: Connection) -> list[PlaceStatus]:
    places = func.count()
    rows = connection.execute(
        select(place.c.status, places)
        .join(host, host.c.host_no == place.c.host_no)
        .where(place.c.gone_ms.is_(None), host.c.state != "retired")
        .group_by(place.c.status)
        .order_by(places.desc(), place.c.status)
    )
    return [PlaceStatus(row[0], row[1], _of_status(row[0])) for row in rows]
