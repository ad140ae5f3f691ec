"""Rows of lines as they are written: one ends, another begins; and open lines that change hands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, exists, insert, literal, select, update

from keycensus_collector.errors import ConflictError
from keycensus_collector.fold.chunks import chunked
from keycensus_collector.store.tables.recertification import campaign, campaign_line

# Lines of which nothing was said yet.
IS_OPEN: ColumnElement[bool] = campaign_line.c.answer == ""


def hand_over(connection: Connection, source: int, target: int, now_ms: int) -> None:
    """Let another team answer what one has left open in campaigns that still take answers.

    What the other one is asked there already is not asked twice.
    """
    taking = select(campaign.c.campaign_no).where(campaign.c.ended_by == "")
    theirs = campaign_line.alias("theirs")
    columns = ("campaign_no", "scope", "number", "artifact")
    is_asked = exists().where(
        *(theirs.c[name] == campaign_line.c[name] for name in columns),
        theirs.c.team_no == target,
        theirs.c.to_ms.is_(None),
    )
    statement = select(campaign_line.c.line_no).where(
        campaign_line.c.team_no == source,
        campaign_line.c.to_ms.is_(None),
        campaign_line.c.superseded_ms.is_(None),
        IS_OPEN,
        campaign_line.c.campaign_no.in_(taking),
        ~is_asked.correlate(campaign_line),
    )
    numbers = list(connection.execute(statement).scalars())
    write(connection, numbers, {"team_no": target}, now_ms)


def write(
    connection: Connection, numbers: Sequence[int], values: dict[str, Any], now_ms: int
) -> None:
    """End rows and begin those that follow, which differ in `values`."""
    kept = ("line_no", "from_ms", "to_ms")
    columns = [each for each in campaign_line.columns if each.name not in kept]
    new = [
        literal(values[each.name], each.type).label(each.name) if each.name in values else each
        for each in columns
    ]
    names = [*(each.name for each in columns), "from_ms"]
    for chunk in chunked(numbers):
        which = campaign_line.c.line_no.in_(chunk)
        ended = connection.execute(
            update(campaign_line).where(which, campaign_line.c.to_ms.is_(None)).values(to_ms=now_ms)
        )
        if ended.rowcount != len(chunk):
            raise ConflictError("somebody else answered some of this meanwhile: look again")
        following = select(*new, literal(now_ms, campaign_line.c.from_ms.type)).where(which)
        connection.execute(insert(campaign_line).from_select(names, following))
