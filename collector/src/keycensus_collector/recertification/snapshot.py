"""What each owner holds at a moment, as the lines of a campaign: one statement, whatever their number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    FromClause,
    LargeBinary,
    Select,
    Text,
    and_,
    case,
    cast,
    func,
    insert,
    literal,
    select,
    union_all,
    update,
)

from keycensus_collector.errors import UsageError
from keycensus_collector.query.ask import ask
from keycensus_collector.query.model import Query
from keycensus_collector.recertification.standing import is_asked
from keycensus_collector.store.schema import certificate, line
from keycensus_collector.store.tables.ownership import (
    CERTIFICATE,
    KEY,
    artifact_owner,
    host_owner,
    place_owner,
    team,
)
from keycensus_collector.store.tables.recertification import campaign, campaign_line

LISTS = ("certificates", "keys", "places", "hosts")
# So many are asked at once; more are several campaigns, a team or a query each.
MOST_LINES = 500_000

_NO_HASH = literal(b"", LargeBinary())
_NO_NUMBER = literal(0, BigInteger())


def take(
    connection: Connection,
    number: int,
    lists: Sequence[str],
    query: Query,
    *,
    team_no: int | None,
    now_ms: int,
) -> int:
    """Write the lines of a campaign and return how many; UsageError for none or more than MOST_LINES.

    What a campaign that runs asks the same team already is left out.
    """
    held = union_all(*(each for what in lists for each in _held(connection, what, query, now_ms)))
    found = held.subquery("found")
    owner = select(team.c.name).where(team.c.team_no == found.c.team_no).scalar_subquery()
    position = func.row_number().over(
        order_by=(owner, found.c.scope, found.c.name, found.c.number, found.c.artifact)
    )
    columns: dict[str, ColumnElement[Any]] = {
        "campaign_no": literal(number, BigInteger()),
        "item": position,
        "scope": found.c.scope,
        "number": found.c.number,
        "artifact": found.c.artifact,
        "team_no": found.c.team_no,
        "answer": literal(""),
        "actor": literal(""),
        "remark": literal(""),
        "proposed": literal(""),
        "from_ms": literal(now_ms, BigInteger()),
    }
    rows = select(*(each.label(name) for name, each in columns.items())).where(
        ~_is_asked_already(found, now_ms)
    )
    if team_no is not None:
        rows = rows.where(found.c.team_no == team_no)
    count = connection.execute(
        select(func.count()).select_from(rows.limit(MOST_LINES + 1).subquery())
    ).scalar_one()
    if not count:
        raise UsageError("nobody holds anything of this that is not asked already: see the query")
    if count > MOST_LINES:
        raise UsageError(
            f"this asks for more than {MOST_LINES:,} things: start one campaign for each of some"
            " teams or queries"
        )
    connection.execute(insert(campaign_line).from_select(list(columns), rows))
    _supersede(connection, number, now_ms)
    return int(count)


def _held(
    connection: Connection, what: str, query: Query, now_ms: int
) -> list[Select[tuple[Any, ...]]]:
    """Return what a query lists with those who hold it: scope, number, artifact, team_no, name."""
    if what == "keys":
        return [_keys(connection, query, now_ms, sealed=sealed) for sealed in (False, True)]
    asked = ask(connection, query, what, now_ms)
    if asked.as_of_ms is not None:
        raise UsageError("what is asked is what owners hold now: leave as-of out")
    if what == "certificates":
        return [_certificates(asked.condition)]
    if what == "hosts":
        table = asked.tables.host
        owner, number, name = host_owner, table.c.host_no, table.c.name
        same, besides = owner.c.host_no == number, table.c.state != "retired"
    else:
        table = asked.tables.place
        owner, number, name = place_owner, table.c.place_no, table.c.path
        same, besides = owner.c.place_no == number, table.c.gone_ms.is_(None)
    return [
        select(
            literal(what.removesuffix("s")).label("scope"),
            cast(number, BigInteger).label("number"),
            _NO_HASH.label("artifact"),
            owner.c.team_no,
            name.label("name"),
        )
        .join_from(table, owner, same)
        .where(asked.condition, owner.c.to_ms.is_(None), besides)
    ]


def _certificates(condition: ColumnElement[bool]) -> Select[tuple[Any, ...]]:
    """Return certificates by their lines: what is said of one is said of its renewals."""
    columns, held = certificate.c, artifact_owner.alias("held")
    alone = columns.line_no.is_(None)
    scope = case((alone, literal("certificate")), else_=literal("line"))
    number = func.coalesce(columns.line_no, _NO_NUMBER)
    artifact = case((alone, columns.sha256), else_=_NO_HASH)
    one = (
        select(
            scope.label("scope"),
            number.label("number"),
            artifact.label("artifact"),
            held.c.team_no,
            func.coalesce(line.c.name, columns.common_name).label("name"),
        )
        .join_from(certificate, held, held.c.artifact == columns.sha256)
        .join(line, line.c.line_no == columns.line_no, isouter=True)
        .where(condition, held.c.kind == CERTIFICATE, held.c.owns.is_(True), held.c.to_ms.is_(None))
        .subquery("one")
        .c
    )
    thing = (one.scope, one.number, one.artifact, one.team_no)
    return select(*thing, func.max(one.name).label("name")).group_by(*thing)


def _keys(
    connection: Connection, query: Query, now_ms: int, *, sealed: bool
) -> Select[tuple[Any, ...]]:
    asked = ask(connection, query, "keys", now_ms, sealed=sealed)
    key, held = asked.tables.key, artifact_owner.alias("held")
    return (
        select(
            literal("key").label("scope"),
            _NO_NUMBER.label("number"),
            key.c.key_id.label("artifact"),
            held.c.team_no,
            cast(literal(""), Text).label("name"),
        )
        .join_from(key, held, held.c.artifact == key.c.key_id)
        .where(asked.condition, held.c.kind == KEY, held.c.owns.is_(True), held.c.to_ms.is_(None))
        .distinct()
    )


def _same(one: FromClause, other: FromClause) -> ColumnElement[bool]:
    """Return that two rows are about one thing."""
    return and_(*(one.c[name] == other.c[name] for name in ("scope", "number", "artifact")))


def _runs(now_ms: int) -> list[ColumnElement[bool]]:
    return [campaign.c.until_ms > now_ms, campaign.c.ended_by == ""]


def _is_asked_already(found: FromClause, now_ms: int) -> ColumnElement[bool]:
    asked = (
        select(campaign_line.c.line_no)
        .join(campaign, campaign.c.campaign_no == campaign_line.c.campaign_no)
        .where(
            _same(campaign_line, found),
            campaign_line.c.team_no == found.c.team_no,
            is_asked(campaign_line),
            *_runs(now_ms),
        )
    )
    return asked.correlate(found).exists()


def _supersede(connection: Connection, number: int, now_ms: int) -> None:
    """Let the lines of earlier campaigns that are over stand back behind those of the new one."""
    new = campaign_line.alias("new")
    running = select(campaign.c.campaign_no).where(*_runs(now_ms))
    again = select(new.c.line_no).where(new.c.campaign_no == number, _same(new, campaign_line))
    connection.execute(
        update(campaign_line)
        .where(
            campaign_line.c.superseded_ms.is_(None),
            campaign_line.c.to_ms.is_(None),
            campaign_line.c.campaign_no.not_in(running),
            again.correlate(campaign_line).exists(),
        )
        .values(superseded_ms=now_ms, superseded_by=number)
    )


def come_back(connection: Connection, number: int) -> None:
    """Let what a cancelled campaign had superseded count again."""
    connection.execute(
        update(campaign_line)
        .where(campaign_line.c.superseded_by == number)
        .values(superseded_ms=None, superseded_by=None)
    )
