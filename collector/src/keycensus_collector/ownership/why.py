"""Why a thing has its owners, in words: what was given, which rule, whose places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select

from keycensus_collector.errors import UsageError
from keycensus_collector.ownership.settings import fallback_no
from keycensus_collector.query.render import render
from keycensus_collector.query.stored import load
from keycensus_collector.store.schema import certificate
from keycensus_collector.store.tables.ownership import (
    artifact_owner,
    host_owner,
    membership,
    owner_assignment,
    owner_rule,
    person,
    place_owner,
    team,
)


@dataclass(frozen=True, slots=True)
class Because:
    """One owner of a thing, and why. `people`: those who can be asked."""

    owner: str
    how: str  # "explicit", "rule", "line", "certificates", "places", "shared", "fallback"
    why: str
    since_ms: int | None
    contact: str
    people: tuple[str, ...]


def why_artifact(connection: Connection, kind: int, artifact: bytes) -> list[Because]:
    """Return the owners of a certificate or key with the reason of each."""
    rows = connection.execute(
        select(artifact_owner, team.c.name, team.c.contact)
        .join(team, team.c.team_no == artifact_owner.c.team_no)
        .where(
            artifact_owner.c.kind == kind,
            artifact_owner.c.artifact == artifact,
            artifact_owner.c.owns.is_(True),
            artifact_owner.c.to_ms.is_(None),
        )
        .order_by(team.c.name)
    ).all()
    return [_because(connection, row) for row in rows] or _fallback(connection)


def why_host(connection: Connection, host_no: int) -> list[Because]:
    """Return the owner of a host with the reason."""
    return _why(connection, host_owner, host_owner.c.host_no == host_no)


def why_place(connection: Connection, place_no: int, host_no: int) -> list[Because]:
    """Return the owner of a place with the reason: its own, or that of its host."""
    own = _why(connection, place_owner, place_owner.c.place_no == place_no)
    return own if own and own[0].how != "fallback" else why_host(connection, host_no)


def _why(connection: Connection, table: Any, which: Any) -> list[Because]:  # noqa: ANN401 - either table
    rows: Sequence[Row[Any]] = connection.execute(
        select(table, team.c.name, team.c.contact)
        .join(team, team.c.team_no == table.c.team_no)
        .where(which, table.c.to_ms.is_(None))
    ).all()
    return [_because(connection, row) for row in rows] or _fallback(connection)


def _because(connection: Connection, row: Row[Any]) -> Because:
    reasons = {
        "places": "its live places are this team's",
        "shared": "live places of several teams: each is told",
    }
    why = reasons.get(row.how, "")
    if row.how == "explicit":
        why = _given(connection, row.source_no)
    elif row.how == "rule":
        why = _ruled(connection, row.source_no)
    elif row.how == "line":
        why = f"of what it follows in its line: {_ruled(connection, row.source_no)}"
    elif row.how == "certificates":
        why = _through(connection, row.source_no)
    return Because(row.name, row.how, why, row.from_ms, *_reach(connection, row))


def _given(connection: Connection, number: int) -> str:
    row = connection.execute(
        select(owner_assignment).where(owner_assignment.c.assignment_no == number)
    ).one()
    what = {"line": "with its line ", "host": "with its host "}.get(row.scope, "")
    return f"given {what}by {row.actor}: {row.reason}"


def _ruled(connection: Connection, number: int) -> str:
    row = connection.execute(select(owner_rule).where(owner_rule.c.rule_no == number)).one()
    try:
        query = render(load(row.query))
    except UsageError as error:
        query = str(error)
    note = f" ({row.note})" if row.note else ""
    return f"rule {row.name}: {query or 'everything'}, of {row.what}{note}"


def _through(connection: Connection, number: int) -> str:
    """Return why a key is somebody's by what was said of a certificate, as a row of owners has it."""
    row = connection.execute(
        select(
            artifact_owner.c.how,
            artifact_owner.c.source_no,
            *(certificate.c[name] for name in ("common_name", "names_text", "subject", "sha256")),
        )
        .join(certificate, certificate.c.sha256 == artifact_owner.c.artifact)
        .where(artifact_owner.c.artifact_owner_no == number)
    ).one_or_none()
    if row is None:
        return "through one of its certificates"
    said = _given if row.how == "explicit" else _ruled
    name = row.common_name or row.names_text.partition("\n")[0] or row.subject
    return (
        f"through its certificate {name} {row.sha256.hex()[:12]}: {said(connection, row.source_no)}"
    )


def _fallback(connection: Connection) -> list[Because]:
    number = fallback_no(connection)
    if number is None:
        return []
    row = connection.execute(select(team).where(team.c.team_no == number)).one()
    why = "nobody owns it: the fallback team answers"
    return [Because(row.name, "fallback", why, None, *_reach(connection, row))]


def _reach(connection: Connection, row: Row[Any]) -> tuple[str, tuple[str, ...]]:
    members = select(person.c.name, person.c.full_name, person.c.email).where(
        person.c.state == "active",
        person.c.person_no.in_(
            select(membership.c.person_no).where(
                membership.c.team_no == row.team_no, membership.c.to_ms.is_(None)
            )
        )
        | person.c.person_no.in_(select(team.c.person_no).where(team.c.team_no == row.team_no)),
    )
    found = connection.execute(members.order_by(person.c.name))
    people = tuple(
        f"{each.full_name or each.name} <{each.email}>" if each.email else each.name
        for each in found
    )
    return row.contact, people
