"""Whose a place was: when a team began and ceased to install there, by the place itself or by its host."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, select

from keycensus_collector.fold.chunks import chunked
from keycensus_collector.store.schema import place
from keycensus_collector.store.tables.ownership import host_owner, place_owner, team
from keycensus_collector.timeline.model import Happening

_WORD = "place-owner"


@dataclass(frozen=True, slots=True)
class Held:
    """A place that holds or held a thing, and when: from and to, the latter None for now."""

    host_no: int
    host: str
    path: str
    times: tuple[tuple[int, int | None], ...]

    def at(self, moment_ms: int) -> bool:
        """Whether the thing was there at a moment, or went then."""
        return any(
            since <= moment_ms and (to or moment_ms) >= moment_ms for since, to in self.times
        )


def owners_where_held(connection: Connection, places: Mapping[int, Held]) -> Iterator[Happening]:
    """Yield changes of owners of places and of their hosts while the places held the thing."""
    hosts = {held.host_no: held for held in places.values()}
    for chunk in chunked(sorted(places)):
        rows = connection.execute(_owners(place_owner).where(place_owner.c.place_no.in_(chunk)))
        for row in rows:
            held = places[row.place_no]
            yield from _told(row, [held], Happening(0, _WORD, held.host, held.path))
    for chunk in chunked(sorted(hosts)):
        rows = connection.execute(_owners(host_owner).where(host_owner.c.host_no.in_(chunk)))
        for row in rows:
            held_there = [held for held in places.values() if held.host_no == row.host_no]
            yield from _told(row, held_there, Happening(0, _WORD, hosts[row.host_no].host))


def _owners(table: Any) -> Any:  # noqa: ANN401 - either table
    return select(table, team.c.name).join(team, team.c.team_no == table.c.team_no)


def _told(row: Row[Any], held: list[Held], of: Happening) -> Iterator[Happening]:
    where = "here" if of.path else "on this host"
    for at_ms, text in (
        (row.from_ms, f"{row.name} installs {where} ({row.how})"),
        (row.to_ms, f"{row.name} installs {where} no more"),
    ):
        if at_ms is not None and any(each.at(at_ms) for each in held):
            yield Happening(at_ms, of.what, of.host, of.path, text)


def owners_on_host(
    connection: Connection, host_no: int, name: str, before_ms: int
) -> Iterator[Happening]:
    """Yield changes of owners of a host's places; those of many places at once as one."""
    for column, text in (
        (place_owner.c.from_ms, "{} installs {} ({})"),
        (place_owner.c.to_ms, "{} installs {} no more"),
    ):
        rows = connection.execute(
            select(
                column.label("at_ms"),
                team.c.name,
                place_owner.c.how,
                func.count().label("places"),
                func.min(place.c.path).label("path"),
            )
            .join(team, team.c.team_no == place_owner.c.team_no)
            .join(place, place.c.place_no == place_owner.c.place_no)
            .where(place_owner.c.host_no == host_no, column < before_ms)
            .group_by(column, team.c.name, place_owner.c.how)
        )
        for row in rows:
            where = "here" if row.places == 1 else f"at {row.places:,} places"
            detail = text.format(row.name, where, row.how)
            path = row.path if row.places == 1 else ""
            yield Happening(row.at_ms, _WORD, name, path, detail)
