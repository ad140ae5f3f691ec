"""Campaigns: started, listed, closed and cancelled. Each change is audited in its transaction."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from keycensus_collector.access import audit
from keycensus_collector.errors import ConflictError, MissingError, UsageError
from keycensus_collector.inventory.values import time_text
from keycensus_collector.ownership.rows import number_of
from keycensus_collector.ownership.teams import team_no
from keycensus_collector.query import values
from keycensus_collector.query.parse import parse
from keycensus_collector.recertification.snapshot import LISTS, come_back, take
from keycensus_collector.store.tables.ownership import team
from keycensus_collector.store.tables.recertification import campaign
from keycensus_collector.text import safe_text

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}\Z")
# One a week for centuries; more is a script gone wrong.
MOST_CAMPAIGNS = 10_000
# A date further off is a typing error.
_LONGEST_MS = 2 * 31_536_000_000


@dataclass(frozen=True, slots=True)
class Campaign:
    """One campaign. `until_ms`: from then on what is open is lapsed; where it was closed before, that time."""

    number: int
    name: str
    until_ms: int
    lists: tuple[str, ...]
    query: str
    team: str  # empty: every team
    started_by: str
    started_ms: int
    ended_by: str
    closed_ms: int | None
    cancelled_ms: int | None

    def state(self, now_ms: int) -> str:
        """Return "running", "due" (its date has passed, and it still takes answers), "closed", "cancelled"."""
        if self.cancelled_ms is not None:
            return "cancelled"
        if self.closed_ms is not None:
            return "closed"
        return "running" if now_ms < self.until_ms else "due"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A campaign to start. `by`: a date, its end is meant, or a length of time from now."""

    by: str
    name: str = ""
    query: str = ""
    lists: tuple[str, ...] = ()
    team: str = ""


def start(
    connection: Connection, wanted: Wanted, *, asker: str, actor: str, now_ms: int
) -> Campaign:
    """Start a campaign and return it; UsageError for what can't be one."""
    until_ms = _until(wanted.by, now_ms)
    lists = wanted.lists or (LISTS if not wanted.query else LISTS[:1])
    query = replace(parse(wanted.query), asker=asker)
    number = None if not wanted.team else team_no(connection, wanted.team)
    every = connection.execute(select(campaign.c.name).limit(MOST_CAMPAIGNS)).scalars().all()
    if len(every) == MOST_CAMPAIGNS:
        raise UsageError(f"there were {MOST_CAMPAIGNS:,} campaigns: no more are kept")
    name = _name(wanted.name, until_ms, every)
    made = number_of(
        connection.execute(
            insert(campaign).values(
                name=name,
                until_ms=until_ms,
                lists=" ".join(lists),
                query=safe_text(wanted.query),
                team_no=number,
                started_by=safe_text(actor),
                started_ms=now_ms,
                ended_by="",
            )
        )
    )
    count = take(connection, made, lists, query, team_no=number, now_ms=now_ms)
    audit.record(
        connection,
        at_ms=now_ms,
        actor=actor,
        action="recertify.start",
        subject=name,
        detail={
            "until_ms": until_ms,
            "query": wanted.query,
            "lists": list(lists),
            "team": wanted.team,
            "lines": count,
        },
    )
    return find_campaign(connection, name)


def find_campaign(connection: Connection, name: str) -> Campaign:
    """Return a campaign; MissingError if there is none of this name."""
    row = connection.execute(_SELECT.where(campaign.c.name == name)).one_or_none()
    if row is None:
        raise MissingError(
            f"there is no campaign {safe_text(name)!r}: GET /campaigns, or keycensus recertify list,"
            " has all"
        )
    return _campaign(row)


def list_campaigns(connection: Connection, *, before: int | None, limit: int) -> list[Campaign]:
    """Return campaigns, the newest first, from behind number `before` on."""
    statement = _SELECT.order_by(campaign.c.campaign_no.desc()).limit(limit)
    if before is not None:
        statement = statement.where(campaign.c.campaign_no < before)
    return [_campaign(row) for row in connection.execute(statement)]


def close(connection: Connection, found: Campaign, *, actor: str, now_ms: int) -> None:
    """End a campaign: it takes no answers any more, and what is open is lapsed."""
    check_open(found)
    _end(
        connection,
        found,
        "recertify.close",
        actor,
        now_ms,
        closed_ms=now_ms,
        until_ms=min(found.until_ms, now_ms),
    )


def cancel(connection: Connection, found: Campaign, *, actor: str, now_ms: int) -> None:
    """End a campaign as if it had not been; ConflictError once its date has passed."""
    check_open(found)
    if found.until_ms <= now_ms:
        raise ConflictError(f"the date of campaign {found.name} has passed: close it")
    come_back(connection, found.number)
    _end(connection, found, "recertify.cancel", actor, now_ms, cancelled_ms=now_ms)


def check_open(found: Campaign) -> None:
    """ConflictError if a campaign was closed or cancelled."""
    if found.ended_by:
        word = "closed" if found.cancelled_ms is None else "cancelled"
        raise ConflictError(f"campaign {found.name} was {word} by {found.ended_by}: start another")


def _end(
    connection: Connection, found: Campaign, action: str, actor: str, now_ms: int, **columns: int
) -> None:
    ended = connection.execute(
        update(campaign)
        .where(campaign.c.campaign_no == found.number, campaign.c.ended_by == "")
        .values(**columns, ended_by=safe_text(actor))
    )
    if not ended.rowcount:
        raise ConflictError(f"campaign {found.name} was ended by somebody else meanwhile")
    audit.record(connection, at_ms=now_ms, actor=actor, action=action, subject=found.name)


def _until(by: str, now_ms: int) -> int:
    length, found = values.duration_ms(by), values.period(by)
    if length is None and found is None:
        raise UsageError(
            f"by takes a date or a length of time, not {safe_text(by)!r}: 2026-12-31, 30d"
        )
    until_ms = now_ms + length if length is not None else found[1] if found else now_ms
    if not now_ms < until_ms <= now_ms + _LONGEST_MS:
        raise UsageError("the date has to lie ahead, and within two years")
    return until_ms


def _name(name: str, until_ms: int, taken: Sequence[str]) -> str:
    """Return the name that is wanted, else one after the last day."""
    if name:
        if not _NAME.match(name):
            raise UsageError(
                f"{safe_text(name)!r} can't name a campaign: use up to 63 of a-z, 0-9 and . _ - , a"
                " letter or digit first"
            )
        if name in taken:
            raise ConflictError(f"there is a campaign {name} already: take another name")
        return name
    day = (time_text(until_ms - 1) or "")[:10]
    names = [f"by-{day}", *(f"by-{day}-{number}" for number in range(2, len(taken) + 3))]
    return next(each for each in names if each not in taken)


_SELECT = select(campaign, team.c.name.label("team_name")).outerjoin(
    team, team.c.team_no == campaign.c.team_no
)


def _campaign(row: Row[Any]) -> Campaign:
    return Campaign(
        number=row.campaign_no,
        name=row.name,
        until_ms=row.until_ms,
        lists=tuple(row.lists.split()),
        query=row.query,
        team=row.team_name or "",
        started_by=row.started_by,
        started_ms=row.started_ms,
        ended_by=row.ended_by,
        closed_ms=row.closed_ms,
        cancelled_ms=row.cancelled_ms,
    )
