"""What a query asks of owners, as SQL: by the name of a team or person, or whether there is any."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, not_, or_, select

from keycensus_collector.ownership import scope
from keycensus_collector.ownership.settings import fallback_no
from keycensus_collector.query.fields import Level
from keycensus_collector.query.relations import SEALED_KINDS, Tables
from keycensus_collector.store.tables.ownership import CERTIFICATE, KEY, team

Named = Callable[[ColumnElement[str]], ColumnElement[bool]]


@dataclass(frozen=True, slots=True)
class Owners:
    """Conditions on the owners of what stands in `tables`, then or now.

    `by_place`: a certificate or key is meant too if only a place of it is the team's.
    """

    connection: Connection
    tables: Tables
    by_place: bool

    def has(self, level: Level, named: Named) -> ColumnElement[bool]:
        """Return that an owner has such a name. What nobody owns is the fallback team's."""
        teams = select(team.c.team_no).where(named(team.c.name))
        found = self._is(level, teams)
        number = fallback_no(self.connection, self.tables.as_of_ms)
        if number is None:
            return found
        is_fallback = select(team.c.team_no).where(team.c.team_no == number, named(team.c.name))
        if self.connection.execute(is_fallback).first() is None:
            return found
        return or_(found, not_(self.has_any(level)))

    def has_one_of(self, level: Level, teams: Collection[int]) -> ColumnElement[bool]:
        """Return that an owner is one of these teams; the fallback team owns what nobody does."""
        found = self._is(level, teams)
        is_mine = fallback_no(self.connection, self.tables.as_of_ms) in teams
        return or_(found, not_(self.has_any(level))) if is_mine else found

    def has_any(self, level: Level) -> ColumnElement[bool]:
        """Return that there is an owner, the fallback team apart."""
        tables, as_of_ms = self.tables, self.tables.as_of_ms
        if level is Level.PLACE:
            return scope.place_is_owned(tables.place, as_of_ms)
        if level is Level.HOST:
            return scope.host_is_owned(tables.host, as_of_ms)
        if level is Level.CERTIFICATE and as_of_ms is None:
            return tables.certificate.c.owned.is_(True)
        if level is Level.KEY and as_of_ms is None and tables.kinds != SEALED_KINDS:
            return tables.key.c.owned.is_(True)
        return scope.artifact_is_owned(*self._artifact(level), as_of_ms)

    def _is(self, level: Level, teams: Any) -> ColumnElement[bool]:  # noqa: ANN401 - a statement
        as_of_ms = self.tables.as_of_ms
        if level is Level.PLACE:
            return scope.place_owned_by(self.tables.place, teams, as_of_ms)
        if level is Level.HOST:
            return scope.host_owned_by(self.tables.host, teams, as_of_ms)
        by = scope.artifact_visible_to if self.by_place else scope.artifact_owned_by
        return by(*self._artifact(level), teams, as_of_ms)

    def _artifact(self, level: Level) -> tuple[ColumnElement[Any], int]:
        if level is Level.CERTIFICATE:
            return self.tables.certificate.c.sha256, CERTIFICATE
        return self.tables.key.c.key_id, KEY
