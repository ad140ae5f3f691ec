"""The lines of a campaign as people read them: pages with names, and who owes what."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, func, or_, select

from keycensus_collector.inventory.paging import count_up_to, decode_cursor, encode_cursor
from keycensus_collector.inventory.values import certificate_name
from keycensus_collector.ownership.teams import Team, list_teams
from keycensus_collector.recertification.campaigns import Campaign
from keycensus_collector.recertification.standing import state_of
from keycensus_collector.recertification.states import STATES
from keycensus_collector.store.schema import certificate, host, place, public_key
from keycensus_collector.store.tables.ownership import team
from keycensus_collector.store.tables.recertification import campaign, campaign_line


@dataclass(frozen=True, slots=True)
class Line:
    """One thing of one owner. `kind`: "certificate", "key", "place", "host"; `id`, `name`: empty if not seen."""

    item: int
    owner: str
    kind: str
    id: str
    name: str
    host: str  # of a place
    not_after_ms: int | None  # of a certificate: the newest of its line
    state: str
    answered_ms: int | None
    answered_by: str
    remark: str
    proposed: str


@dataclass(frozen=True, slots=True)
class Owing:
    """What one owner said, and what is to be said, by state; and who can be asked."""

    owner: str
    contact: str
    people: tuple[str, ...]
    counts: dict[str, int]


def owing(connection: Connection, found: Campaign, now_ms: int) -> list[Owing]:
    """Return each owner in a campaign, by name, with how many lines stand how."""
    state = state_of(campaign_line, now_ms).label("state")
    each = _lines(found).add_columns(campaign_line.c.team_no, state).subquery("each").c
    rows = connection.execute(
        select(each.team_no, each.state, func.count()).group_by(each.team_no, each.state)
    )
    by_team: dict[int, dict[str, int]] = defaultdict(lambda: dict.fromkeys(STATES, 0))
    for number, word, count in rows:
        by_team[number][word] = count
    teams = {each.number: each for each in list_teams(connection)} if by_team else {}
    known = [(teams[number], counts) for number, counts in by_team.items() if number in teams]
    known.sort(key=lambda pair: pair[0].name)
    return [Owing(each.name, each.contact, _people(each), counts) for each, counts in known]


def _people(each: Team) -> tuple[str, ...]:
    return (each.person,) if each.person else each.members


@dataclass(frozen=True, slots=True)
class Page:
    """Lines in order, the cursor of the page behind, and how many there are in all."""

    lines: list[Line]
    next: str | None
    total: int
    total_is_exact: bool


def page(
    connection: Connection,
    found: Campaign,
    now_ms: int,
    *,
    owners: Collection[int] | None = None,
    state: str = "",
    cursor: str = "",
    limit: int,
) -> Page:
    """Return a page of lines by owner and name. `owners`: of these teams only."""
    word = state_of(campaign_line, now_ms)
    statement = (
        _lines(found)
        .add_columns(campaign_line, team.c.name.label("owner"), word.label("state"))
        .join(team, team.c.team_no == campaign_line.c.team_no)
    )
    if owners is not None:
        statement = statement.where(campaign_line.c.team_no.in_(sorted(owners)))
    if state:
        statement = statement.where(word == state)
    total, exact = count_up_to(connection, statement.with_only_columns(campaign_line.c.line_no))
    if cursor:
        # A line that was handed over keeps its number, and may have a namesake of the other team.
        item, number = decode_cursor(cursor, 2)
        behind = (campaign_line.c.item == item) & (campaign_line.c.line_no > number)
        statement = statement.where(or_(campaign_line.c.item > item, behind))
    ordered = statement.order_by(campaign_line.c.item, campaign_line.c.line_no)
    rows = connection.execute(ordered.limit(limit + 1)).all()
    shown = rows[:limit]
    next_ = encode_cursor([shown[-1].item, shown[-1].line_no]) if len(rows) > limit else None
    return Page(_told(connection, shown), next_, total, exact)


def _lines(found: Campaign) -> Select[Any]:
    """Return the rows that hold of a campaign, without columns."""
    return (
        select()
        .select_from(campaign_line)
        .join(campaign, campaign.c.campaign_no == campaign_line.c.campaign_no)
        .where(campaign_line.c.campaign_no == found.number, campaign_line.c.to_ms.is_(None))
    )


@dataclass(frozen=True, slots=True)
class _Name:
    id: str
    name: str
    host: str = ""
    not_after_ms: int | None = None


_KINDS = {"line": "certificate"}


def _told(connection: Connection, rows: Sequence[Row[Any]]) -> list[Line]:
    names = _names(connection, rows)
    lines = []
    for row in rows:
        name = names.get((row.scope, row.artifact or row.number), _Name(row.artifact.hex(), ""))
        lines.append(
            Line(
                item=row.item,
                owner=row.owner,
                kind=_KINDS.get(row.scope, row.scope),
                id=name.id,
                name=name.name,
                host=name.host,
                not_after_ms=name.not_after_ms,
                state=row.state,
                answered_ms=row.answered_ms,
                answered_by=row.actor,
                remark=row.remark,
                proposed=row.proposed,
            )
        )
    return lines


def _names(connection: Connection, rows: Sequence[Row[Any]]) -> dict[tuple[str, Any], _Name]:
    """Return what the things of a page are called, by scope and number or hash; a statement for each kind."""
    by_scope: dict[str, list[Any]] = defaultdict(list)
    for each in rows:
        by_scope[each.scope].append(each.artifact or each.number)
    found: dict[tuple[str, Any], _Name] = {}
    for scope, column in (("line", certificate.c.line_no), ("certificate", certificate.c.sha256)):
        for one in _certificates(connection, column, by_scope[scope]):
            # The last one stays: of those that are in use the newest.
            found[scope, getattr(one, column.name)] = _Name(
                one.sha256.hex(),
                certificate_name(one.common_name, one.names_text, one.subject, one.sha256),
                not_after_ms=one.not_after_ms,
            )
    keys = select(public_key.c.key_id, public_key.c.algorithm).where(
        public_key.c.key_id.in_(by_scope["key"])
    )
    for key in connection.execute(keys) if by_scope["key"] else ():
        found["key", key.key_id] = _Name(key.key_id.hex(), key.algorithm)
    hosts = select(host.c.host_no, host.c.host_id, host.c.name).where(
        host.c.host_no.in_(by_scope["host"])
    )
    for row in connection.execute(hosts) if by_scope["host"] else ():
        found["host", row.host_no] = _Name(row.host_id, row.name)
    places = (
        select(place.c.place_no, place.c.path, host.c.name)
        .join(host, host.c.host_no == place.c.host_no)
        .where(place.c.place_no.in_(by_scope["place"]))
    )
    for spot in connection.execute(places) if by_scope["place"] else ():
        found["place", spot.place_no] = _Name("", spot.path, spot.name)
    return found


def _certificates(
    connection: Connection, column: ColumnElement[Any], wanted: Sequence[Any]
) -> Sequence[Row[Any]]:
    if not wanted:
        return []
    columns = certificate.c
    statement: Select[Any] = (
        select(
            columns.line_no,
            columns.sha256,
            columns.common_name,
            columns.names_text,
            columns.subject,
            columns.not_after_ms,
        )
        .where(column.in_(wanted))
        .order_by(columns.live_places > 0, columns.not_before_ms, columns.sha256)
    )
    return connection.execute(statement).all()
