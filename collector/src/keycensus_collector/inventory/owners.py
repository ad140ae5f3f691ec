"""Who owns what is shown: of certificates and keys who renews, of places and hosts who installs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import ColumnElement, Connection, FromClause, Text, cast, func, select

from keycensus_collector.fold.chunks import chunked
from keycensus_collector.inventory import results
from keycensus_collector.inventory.values import time_text
from keycensus_collector.ownership.intervals import at
from keycensus_collector.ownership.settings import FALLBACK, fallback_name
from keycensus_collector.ownership.why import Because
from keycensus_collector.store.tables.ownership import (
    CERTIFICATE,
    KEY,
    artifact_owner,
    host_owner,
    owner_setting,
    place_owner,
    team,
)


class Owners(NamedTuple):
    """Teams that own a certificate or key, and why: as in `artifact_owner.how`, or "fallback"."""

    names: list[str]
    how: str


def owners_of(
    connection: Connection, kind: int, artifacts: Iterable[bytes], as_of_ms: int | None = None
) -> dict[bytes, Owners]:
    """Return the owners of certificates or keys; what nobody owns is the fallback team's, if any."""
    hashes = list(artifacts)
    found: dict[bytes, Owners] = {}
    for chunk in chunked(hashes):
        rows = connection.execute(
            select(artifact_owner.c.artifact, artifact_owner.c.how, team.c.name)
            .join(team, team.c.team_no == artifact_owner.c.team_no)
            .where(
                artifact_owner.c.artifact.in_(chunk),
                artifact_owner.c.kind == kind,
                artifact_owner.c.owns.is_(True),
                at(artifact_owner, as_of_ms),
            )
            .order_by(team.c.name)
        )
        for row in rows:
            found.setdefault(row.artifact, Owners([], row.how)).names.append(row.name)
    fallback = fallback_name(connection, as_of_ms)
    nobody = Owners([fallback], "fallback") if fallback else Owners([], "")
    return {artifact: found.get(artifact, nobody) for artifact in hashes}


def first_owner(
    kind: int, artifact: ColumnElement[Any], as_of_ms: int | None
) -> ColumnElement[str]:
    """Return the first of `owners_of` as a column: the fallback team's name where nobody owns; or empty."""
    own = (
        select(func.min(team.c.name))
        .join(artifact_owner, artifact_owner.c.team_no == team.c.team_no)
        .where(
            artifact_owner.c.artifact == artifact,
            artifact_owner.c.kind == kind,
            artifact_owner.c.owns.is_(True),
            at(artifact_owner, as_of_ms),
        )
        .correlate(artifact.table)
    )
    nobody = (
        select(team.c.name)
        .join(owner_setting, owner_setting.c.value == cast(team.c.team_no, Text))
        .where(owner_setting.c.name == FALLBACK, at(owner_setting, as_of_ms))
    )
    return func.coalesce(own.scalar_subquery(), nobody.scalar_subquery(), "")


_Item = TypeVar("_Item", results.Certificate, results.Key)


def with_owners(
    connection: Connection, items: Sequence[_Item], as_of_ms: int | None = None
) -> list[_Item]:
    """Return certificates or keys with their owners."""
    if not items:
        return []
    is_certificate = isinstance(items[0], results.Certificate)
    hashes = [_hash(item) for item in items]
    owners = owners_of(connection, CERTIFICATE if is_certificate else KEY, hashes, as_of_ms)
    return [
        replace(item, owners=owners[hash_].names, owned_by=owners[hash_].how)
        for item, hash_ in zip(items, hashes, strict=True)
    ]


def ownership_of(reasons: Iterable[Because]) -> list[results.Ownership]:
    """Return why a thing has its owners, as people see it."""
    return [
        results.Ownership(
            owner=each.owner,
            how=each.how,
            why=each.why,
            since=time_text(each.since_ms),
            contact=each.contact,
            people=list(each.people),
        )
        for each in reasons
    ]


def _hash(item: results.Certificate | results.Key) -> bytes:
    return bytes.fromhex(item.sha256 if isinstance(item, results.Certificate) else item.id)


def owner_of_place(spot: FromClause, as_of_ms: int | None) -> ColumnElement[Any]:
    """Return the name of a place's owner as a column: its own, or its host's; empty if it has none."""
    own = (
        select(team.c.name)
        .join(place_owner, place_owner.c.team_no == team.c.team_no)
        .where(place_owner.c.place_no == spot.c.place_no, at(place_owner, as_of_ms))
    )
    return func.coalesce(own.correlate(spot).scalar_subquery(), _host_owner(spot, as_of_ms), "")


def owner_of_host(host: FromClause, as_of_ms: int | None = None) -> ColumnElement[Any]:
    """Return the name of a host's owner as a column; empty if it has none."""
    return func.coalesce(_host_owner(host, as_of_ms), "")


def _host_owner(table: FromClause, as_of_ms: int | None) -> ColumnElement[Any]:
    return (
        select(team.c.name)
        .join(host_owner, host_owner.c.team_no == team.c.team_no)
        .where(host_owner.c.host_no == table.c.host_no, at(host_owner, as_of_ms))
        .correlate(table)
        .scalar_subquery()
    )
