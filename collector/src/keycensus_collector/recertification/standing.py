"""How a line of a campaign stands, as SQL: what was said of it, and what became of its thing.

Told apart in this order:

1. `confirmed`: its owner said so. What is confirmed stays so, whatever happens to the thing.
2. `gone`: the thing is nowhere any more, and nobody has to say anything of it.
3. `moved`: its owner does not hold it any more; a dispute is settled by that.
4. `disputed`: its owner said that it is not theirs.
5. `lapsed`, `open`: nothing was said, after the date and before.

Who sees the things of some teams only can't tell what has moved from what is gone; to them both are gone.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Table,
    and_,
    case,
    exists,
    literal,
    or_,
)

from keycensus_collector.ownership.intervals import at
from keycensus_collector.recertification.states import (
    CONFIRMED,
    DISPUTED,
    GONE,
    LAPSED,
    MOVED,
    OPEN,
)
from keycensus_collector.store.schema import certificate, holding, host, place, public_key
from keycensus_collector.store.tables.ownership import (
    CERTIFICATE,
    KEY,
    artifact_owner,
    host_owner,
    place_owner,
)
from keycensus_collector.store.tables.recertification import campaign


def counts(as_of_ms: int | None = None) -> ColumnElement[bool]:
    """Return that a campaign was not cancelled, now or at a past moment."""
    cancelled = campaign.c.cancelled_ms
    if as_of_ms is None:
        return cancelled.is_(None)
    return or_(cancelled.is_(None), cancelled > as_of_ms)


def state_of(line: FromClause, now_ms: int) -> ColumnElement[str]:
    """Return the state of a line, joined with `campaign`, as a column."""
    return case(
        (line.c.answer == CONFIRMED, literal(CONFIRMED)),
        (~_is_there(line), literal(GONE)),
        (~is_held(line), literal(MOVED)),
        (line.c.answer == DISPUTED, literal(DISPUTED)),
        (campaign.c.until_ms <= now_ms, literal(LAPSED)),
        else_=literal(OPEN),
    )


def is_held(line: FromClause, as_of_ms: int | None = None) -> ColumnElement[bool]:
    """Return that the team of a line holds its thing, now or at a past moment."""
    held = artifact_owner.alias("held")
    of_line = certificate.alias("of_line")
    same = (held.c.team_no == line.c.team_no, held.c.owns.is_(True), at(held, as_of_ms))
    by_hash = (held.c.artifact == line.c.artifact, *same)
    # Certificates of a line are few, what a team holds is much: not to be joined the other way round.
    is_owned = (
        exists()
        .where(held.c.artifact == of_line.c.sha256, held.c.kind == CERTIFICATE, *same)
        .correlate(of_line, line)
    )
    in_line = _found(line, of_line.c.line_no == line.c.number, is_owned)
    return _by_scope(
        line,
        {
            "line": in_line,
            "certificate": _found(line, held.c.kind == CERTIFICATE, *by_hash),
            "key": _found(line, held.c.kind == KEY, *by_hash),
            "host": _own_row(line, host_owner, host_owner.c.host_no, as_of_ms),
            "place": _own_row(line, place_owner, place_owner.c.place_no, as_of_ms),
        },
    )


def _own_row(
    line: FromClause, owner: Table, number: ColumnElement[Any], as_of_ms: int | None
) -> ColumnElement[bool]:
    return _found(
        line, number == line.c.number, owner.c.team_no == line.c.team_no, at(owner, as_of_ms)
    )


def _found(line: FromClause, *conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    """Return that there is a row; of the statement around nothing is meant but the line."""
    return exists().where(*conditions).correlate(line)


def _is_there(line: FromClause) -> ColumnElement[bool]:
    stands = certificate.c.live_places + certificate.c.retained_places > 0
    kept = public_key.c.live_places + public_key.c.retained_places > 0
    # A sealed key has no row of its own.
    sealed = _found(line, holding.c.artifact == line.c.artifact)
    return _by_scope(
        line,
        {
            "line": _found(line, certificate.c.line_no == line.c.number, stands),
            "certificate": _found(line, certificate.c.sha256 == line.c.artifact, stands),
            "key": or_(_found(line, public_key.c.key_id == line.c.artifact, kept), sealed),
            "host": _found(line, host.c.host_no == line.c.number, host.c.state != "retired"),
            "place": _found(line, place.c.place_no == line.c.number, place.c.gone_ms.is_(None)),
        },
    )


def _by_scope(line: FromClause, conditions: dict[str, ColumnElement[bool]]) -> ColumnElement[bool]:
    return or_(*(and_(line.c.scope == word, each) for word, each in conditions.items()))


def is_asked(line: FromClause, as_of_ms: int | None = None) -> ColumnElement[bool]:
    """Return that a row of a line holds, and that no newer campaign asks the same."""
    newer = line.c.superseded_ms
    if as_of_ms is None:
        return and_(at(line, None), newer.is_(None))
    return and_(at(line, as_of_ms), or_(newer.is_(None), newer > as_of_ms))
