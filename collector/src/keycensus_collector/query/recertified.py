"""What owners said of things in campaigns of recertification, as conditions: `recertified:`."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Select, and_, not_, or_, select

from keycensus_collector.ownership.intervals import at
from keycensus_collector.query.conditions import Choice, Range, Test, expected
from keycensus_collector.query.fields import Level
from keycensus_collector.query.relations import Tables
from keycensus_collector.recertification.standing import counts, is_asked, is_held
from keycensus_collector.recertification.states import CONFIRMED, DISPUTED, OPEN
from keycensus_collector.store.tables.recertification import campaign, campaign_line

_Rows = Select[Any]


def is_recertified(tables: Tables, test: Test, level: Level, now_ms: int) -> ColumnElement[bool]:
    """Return that an owner of a thing said so in the last campaign, or confirmed it last at such a time."""
    as_of_ms = tables.as_of_ms
    # A newer campaign takes nothing back that was confirmed.
    confirmed = [at(campaign_line, as_of_ms), campaign_line.c.answer == CONFIRMED]
    if isinstance(test, Range):
        when = campaign_line.c.answered_ms
        since = confirmed if test.low is None else [*confirmed, when >= test.low]
        found = _among(tables, level, since)
        if test.high is None:
            return found
        return and_(found, not_(_among(tables, level, [*confirmed, when >= test.high])))
    word = expected(Choice, test).value
    if word == "never":
        return not_(_among(tables, level, confirmed))
    asked = [is_asked(campaign_line, as_of_ms)]
    if word == CONFIRMED:
        return _among(tables, level, [*asked, campaign_line.c.answer == CONFIRMED])
    # Of what has moved nobody owes an answer; what is gone is in no list that asks for places.
    asked.append(is_held(campaign_line, as_of_ms))
    if word == DISPUTED:
        return _among(tables, level, [*asked, campaign_line.c.answer == DISPUTED])
    runs = campaign.c.until_ms > now_ms
    asked += [campaign_line.c.answer == "", runs if word == OPEN else not_(runs)]
    return _among(tables, level, asked)


def _among(
    tables: Tables, level: Level, conditions: list[ColumnElement[bool]]
) -> ColumnElement[bool]:
    """Return that a thing, or what it is asked with, is in a line for which all of this holds."""
    if level is Level.CERTIFICATE:
        own = tables.certificate.c
        # Of what has no line nothing is known of one, and `not` is to hold.
        in_line = and_(
            own.line_no.is_not(None), own.line_no.in_(_numbers("line", conditions, tables))
        )
        return or_(in_line, own.sha256.in_(_hashes("certificate", conditions, tables)))
    if level is Level.KEY:
        return tables.key.c.key_id.in_(_hashes("key", conditions, tables))
    if level is Level.HOST:
        return tables.host.c.host_no.in_(_numbers("host", conditions, tables))
    spot = tables.place.c
    return or_(
        spot.place_no.in_(_numbers("place", conditions, tables)),
        spot.host_no.in_(_numbers("host", conditions, tables)),
    )


def _numbers(scope: str, conditions: list[ColumnElement[bool]], tables: Tables) -> _Rows:
    return _rows(select(campaign_line.c.number), scope, conditions, tables)


def _hashes(scope: str, conditions: list[ColumnElement[bool]], tables: Tables) -> _Rows:
    return _rows(select(campaign_line.c.artifact), scope, conditions, tables)


def _rows(rows: _Rows, scope: str, conditions: list[ColumnElement[bool]], tables: Tables) -> _Rows:
    return (
        rows.join(campaign, campaign.c.campaign_no == campaign_line.c.campaign_no)
        .where(campaign_line.c.scope == scope, *conditions, counts(tables.as_of_ms))
        .correlate(None)
    )
