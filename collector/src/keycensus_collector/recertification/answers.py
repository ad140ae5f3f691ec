"""What owners say of their lines: confirmed, disputed, taken back; and lines that change hands.

An answer ends the row of a line and begins another one. Who may answer is said by the caller; here lines
are chosen by a condition, so that one, all and those that a query lists are one path.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    or_,
    select,
)

from keycensus_collector.access import audit
from keycensus_collector.errors import UsageError
from keycensus_collector.ownership.assignments import Thing, assign
from keycensus_collector.ownership.settings import fallback_name
from keycensus_collector.ownership.teams import check_owner
from keycensus_collector.query.ask import Asked, ask
from keycensus_collector.query.model import Query
from keycensus_collector.recertification.campaigns import Campaign, check_open
from keycensus_collector.recertification.handing import write
from keycensus_collector.recertification.standing import is_held
from keycensus_collector.recertification.states import CONFIRMED, DISPUTED, OPEN
from keycensus_collector.store.schema import certificate
from keycensus_collector.store.tables.recertification import campaign, campaign_line
from keycensus_collector.text import safe_text

MOST_REMARK = 500
# Those that the audit log names; it has the number of all.
_MOST_NAMED = 1_000

_ACTIONS = {CONFIRMED: "recertify.confirm", DISPUTED: "recertify.dispute", OPEN: "recertify.reopen"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said. `word` is of ANSWERS, or None: the remark alone changes."""

    word: str | None
    remark: str = ""
    proposed: str = ""  # of what is disputed: whose it is


@dataclass(frozen=True, slots=True)
class Answered:
    """How many lines were meant, and how many of them changed."""

    lines: int
    changed: int


def of_things(things: Collection[Thing]) -> ColumnElement[bool]:
    """Return the condition on lines that are about these: of a certificate, its line is meant too."""
    columns = campaign_line.c
    numbers: dict[str, list[int]] = defaultdict(list)
    hashes: dict[str, list[bytes]] = defaultdict(list)
    for each in things:
        if each.artifact:
            hashes[each.kind].append(each.artifact)
        else:
            numbers[each.kind].append(each.number)
    by_number = [(columns.scope == kind) & columns.number.in_(of) for kind, of in numbers.items()]
    by_hash = [(columns.scope == kind) & columns.artifact.in_(of) for kind, of in hashes.items()]
    return or_(*by_number, *by_hash)


def of_query(connection: Connection, what: str, query: Query, now_ms: int) -> ColumnElement[bool]:
    """Return the condition on lines about what a query lists now."""
    columns = campaign_line.c
    halves = (False, True) if what == "keys" else (False,)
    found = [ask(connection, query, what, now_ms, sealed=sealed) for sealed in halves]
    if any(asked.as_of_ms is not None for asked in found):
        raise UsageError("what is answered is what there is now: leave as-of out")
    if what == "certificates":
        lines, alone = (
            select(column).where(found[0].condition)
            for column in (certificate.c.line_no, certificate.c.sha256)
        )
        return or_(
            (columns.scope == "line") & columns.number.in_(lines.where(certificate.c.line_no > 0)),
            (columns.scope == "certificate") & columns.artifact.in_(alone),
        )
    return or_(*(_among(what, asked) for asked in found))


def _among(what: str, asked: Asked) -> ColumnElement[bool]:
    columns, tables = campaign_line.c, asked.tables
    if what == "keys":
        keys = select(tables.key.c.key_id).where(asked.condition)
        return (columns.scope == "key") & columns.artifact.in_(keys)
    kind = what.removesuffix("s")
    table = tables.host if kind == "host" else tables.place
    numbers = select(table.c[f"{kind}_no"]).where(asked.condition)
    return (columns.scope == kind) & columns.number.in_(numbers)


def meant(
    connection: Connection,
    found: Campaign,
    which: ColumnElement[bool],
    owners: Collection[int] | None,
) -> list[Row[Any]]:
    """Return the lines of a campaign that are meant and still held. `owners`: of these teams only."""
    statement = (
        select(campaign_line)
        .join(campaign, campaign.c.campaign_no == campaign_line.c.campaign_no)
        .where(
            campaign_line.c.campaign_no == found.number,
            campaign_line.c.to_ms.is_(None),
            which,
            is_held(campaign_line),
        )
        .order_by(campaign_line.c.item, campaign_line.c.line_no)
    )
    if owners is not None:
        statement = statement.where(campaign_line.c.team_no.in_(sorted(owners)))
    return list(connection.execute(statement))


def answer(
    connection: Connection,
    found: Campaign,
    lines: Sequence[Row[Any]],
    said: Answer,
    *,
    actor: str,
    now_ms: int,
) -> Answered:
    """Write an answer to these lines, as `meant` gives them, and return how many it changes."""
    check_open(found)
    _check(connection, said)
    values: dict[str, Any] = {"remark": safe_text(said.remark.strip())}
    if said.word is not None:
        values |= {
            "answer": "" if said.word == OPEN else said.word,
            "proposed": safe_text(said.proposed),
        }
    changed = [row for row in lines if any(getattr(row, key) != values[key] for key in values)]
    if said.word is not None:
        values |= {"actor": safe_text(actor), "answered_ms": now_ms}
        if said.word == OPEN:
            values |= {"actor": "", "answered_ms": None}
    write(connection, [row.line_no for row in changed], values, now_ms)
    if changed:
        audit.record(
            connection,
            at_ms=now_ms,
            actor=actor,
            action=_ACTIONS[said.word] if said.word else "recertify.comment",
            subject=found.name,
            detail={
                "count": len(changed),
                "things": [_thing(row).name for row in changed[:_MOST_NAMED]],
                "remark": said.remark,
                "proposed": said.proposed,
            },
        )
    return Answered(len(lines), len(changed))


def accept(
    connection: Connection, found: Campaign, lines: Sequence[Row[Any]], *, actor: str, now_ms: int
) -> dict[str, int]:
    """Give disputed things to whose they are said to be, else to the fallback team; how many to whom.

    UsageError if one can go to nobody: then nothing is given.
    """
    check_open(found)
    fallback = fallback_name(connection)
    to: dict[tuple[str, str], list[Thing]] = defaultdict(list)
    for row in lines:
        owner = row.proposed or fallback
        if not owner:
            raise UsageError(
                "of some of this nobody says whose it is: set a fallback team, or give it with"
                " keycensus owners set"
            )
        to[owner, row.remark].append(_thing(row))
    for (owner, remark), things in to.items():
        reason = f"recertification {found.name}: {remark}"
        assign(connection, things, owner, reason=reason, actor=actor, now_ms=now_ms)
    given: dict[str, int] = defaultdict(int)
    for (owner, _), things in to.items():
        given[owner] += len(things)
    return dict(sorted(given.items()))


def _check(connection: Connection, said: Answer) -> None:
    if len(said.remark) > MOST_REMARK:
        raise UsageError(f"a remark has at most {MOST_REMARK} characters")
    if said.word in {DISPUTED, None} and not said.remark.strip():
        raise UsageError(f"say why in 1 to {MOST_REMARK} characters: --reason TEXT")
    if said.proposed and said.word != DISPUTED:
        raise UsageError("another owner is named for what is disputed only")
    if said.proposed:
        check_owner(connection, said.proposed)


def _thing(row: Row[Any]) -> Thing:
    return Thing(row.scope, row.number, row.artifact)
