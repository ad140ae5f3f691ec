"""Who owns what as SQL: the conditions that queries, and the limits of what people see, are made of."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Select, and_, false, or_, select

from keycensus_collector.ownership.intervals import at
from keycensus_collector.store.tables.ownership import artifact_owner, host_owner, place_owner

Teams = Collection[int] | Select[Any]


def place_owned_by(
    place: FromClause, teams: Teams, as_of_ms: int | None = None
) -> ColumnElement[bool]:
    """Return that a place is owned by one of these teams: itself, or by its host.

    `place`: a table with `place_no` and `host_no`. `teams`: numbers, or a statement that gives them.
    """
    if not isinstance(teams, Select) and not teams:
        return false()
    numbers = _numbers(teams)
    own = select(place_owner.c.place_no).where(
        place_owner.c.team_no.in_(numbers), at(place_owner, as_of_ms)
    )
    of_host = select(host_owner.c.host_no).where(
        host_owner.c.team_no.in_(numbers), at(host_owner, as_of_ms)
    )
    return or_(
        place.c.place_no.in_(own.correlate(None)),
        and_(place.c.host_no.in_(of_host.correlate(None)), ~_has_own_row(place, as_of_ms)),
    )


def place_is_owned(place: FromClause, as_of_ms: int | None = None) -> ColumnElement[bool]:
    """Return that a place has an owner, itself or by its host."""
    of_host = select(host_owner.c.host_no).where(at(host_owner, as_of_ms)).correlate(None)
    return or_(place.c.host_no.in_(of_host), _has_own_row(place, as_of_ms))


def _has_own_row(place: FromClause, as_of_ms: int | None) -> ColumnElement[bool]:
    own = select(place_owner.c.place_no).where(
        place_owner.c.place_no == place.c.place_no, at(place_owner, as_of_ms)
    )
    return own.correlate(place).exists()


def host_owned_by(
    host: FromClause, teams: Teams, as_of_ms: int | None = None
) -> ColumnElement[bool]:
    """Return that a host is owned by one of these teams."""
    if not isinstance(teams, Select) and not teams:
        return false()
    owned = select(host_owner.c.host_no).where(
        host_owner.c.team_no.in_(_numbers(teams)), at(host_owner, as_of_ms)
    )
    return host.c.host_no.in_(owned.correlate(None))


def host_is_owned(host: FromClause, as_of_ms: int | None = None) -> ColumnElement[bool]:
    """Return that a host has an owner."""
    owned = select(host_owner.c.host_no).where(at(host_owner, as_of_ms))
    return host.c.host_no.in_(owned.correlate(None))


def artifact_owned_by(
    column: ColumnElement[Any], kind: int, teams: Teams, as_of_ms: int | None = None
) -> ColumnElement[bool]:
    """Return that a certificate or key (tables.ownership.CERTIFICATE, KEY) is owned by a team."""
    return _artifact(column, kind, teams, as_of_ms, artifact_owner.c.owns.is_(True))


def artifact_visible_to(
    column: ColumnElement[Any], kind: int, teams: Teams, as_of_ms: int | None = None
) -> ColumnElement[bool]:
    """Return that a certificate or key is owned by a team, or that one of its places is."""
    return _artifact(column, kind, teams, as_of_ms)


def artifact_is_owned(
    column: ColumnElement[Any], kind: int, as_of_ms: int | None = None
) -> ColumnElement[bool]:
    """Return that a certificate or key has an owner. Of now, its folded column `owned` says so too."""
    owned = select(artifact_owner.c.artifact).where(
        artifact_owner.c.artifact == column,
        artifact_owner.c.kind == kind,
        artifact_owner.c.owns.is_(True),
        at(artifact_owner, as_of_ms),
    )
    return owned.exists()


def _artifact(
    column: ColumnElement[Any],
    kind: int,
    teams: Teams,
    as_of_ms: int | None,
    *conditions: ColumnElement[bool],
) -> ColumnElement[bool]:
    if not isinstance(teams, Select) and not teams:
        return false()
    owned = select(artifact_owner.c.artifact).where(
        artifact_owner.c.team_no.in_(_numbers(teams)),
        artifact_owner.c.kind == kind,
        at(artifact_owner, as_of_ms),
        *conditions,
    )
    return column.in_(owned.correlate(None))


def _numbers(teams: Teams) -> Any:  # noqa: ANN401 - what SQLAlchemy takes on the right of IN
    return teams if isinstance(teams, Select) else sorted(teams)
