"""What owners answer in campaigns, and what becomes of disputes."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, StrictBool
from sqlalchemy import Connection, Row, true

from keycensus_collector.access.permissions import Permission
from keycensus_collector.access.principals import Principal
from keycensus_collector.api.campaign_results import Accepted, Answered
from keycensus_collector.api.identities import one_match
from keycensus_collector.api.problems import forbidden
from keycensus_collector.api.queries import List
from keycensus_collector.api.security import AUTHENTICATED, ClockOf, CurrentPrincipal, StoreOf
from keycensus_collector.api.selection import thing_of
from keycensus_collector.errors import UsageError
from keycensus_collector.inventory.identify import ID_CHARACTERS
from keycensus_collector.inventory.paging import BIGGEST_INTEGER, PAGE_LIMIT
from keycensus_collector.ownership.assignments import scopes_of
from keycensus_collector.ownership.people import teams_of_user
from keycensus_collector.ownership.teams import team_no
from keycensus_collector.query.parse import parse
from keycensus_collector.recertification import answers, campaigns
from keycensus_collector.recertification.answers import MOST_REMARK, Answer
from keycensus_collector.recertification.handing import IS_OPEN
from keycensus_collector.recertification.states import DISPUTED
from keycensus_collector.store.tables.recertification import campaign_line

router = APIRouter(prefix="/api/v1", dependencies=AUTHENTICATED, tags=["recertification"])

# As many as one page of lines has.
Items = Annotated[
    list[Annotated[int, Field(ge=1, le=BIGGEST_INTEGER)]], Field(max_length=PAGE_LIMIT)
]
_Name = Annotated[str, Field(max_length=64)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class AnswerBody(_Body):
    """What is said of the lines that are meant: `items` by number, an `id`, those of `what` and `q`, or `all` open ones.

    `answer` null changes the `remark` alone. What is disputed needs one, and may name another owner
    (`proposed`). `team`: of which; without it, of one's own teams.
    """

    answer: Literal["confirmed", "disputed", "open"] | None
    items: Items = []
    id: Annotated[str, Field(max_length=ID_CHARACTERS)] = ""
    kind: Literal["", "certificate", "key", "host"] = ""
    what: List | None = None
    q: Annotated[str, Field(max_length=8_000)] = ""
    all: StrictBool = False
    team: _Name = ""
    remark: Annotated[str, Field(max_length=MOST_REMARK)] = ""
    proposed: _Name = ""


class AcceptBody(_Body):
    """Which disputed lines go to whose they are said to be: `items` by number, or `all`."""

    items: Items = []
    all: StrictBool = False


@router.post("/campaigns/{name}/answers", summary="Say what is yours, and what is not")
async def answer_campaign(
    name: str, body: AnswerBody, store: StoreOf, clock: ClockOf, principal: CurrentPrincipal
) -> Answered:
    """Of one's own teams; operators and admins for others, too. An answer can be changed until the campaign ends."""
    now_ms = clock.now_ms()

    def work(connection: Connection) -> Answered:
        found = campaigns.find_campaign(connection, name)
        lines = _meant(connection, found, body, principal, now_ms)
        done = answers.answer(
            connection,
            found,
            lines,
            Answer(body.answer, body.remark, body.proposed),
            actor=principal.actor,
            now_ms=now_ms,
        )
        return Answered(done.lines, done.changed)

    return await store.run_write(work)


@router.post("/campaigns/{name}/accept", summary="Give disputed things to whose they are")
async def accept_disputes(
    name: str, body: AcceptBody, store: StoreOf, clock: ClockOf, principal: CurrentPrincipal
) -> Accepted:
    """To the owner that was proposed, else the fallback team: nothing is ever left to nobody."""

    def work(connection: Connection) -> Accepted:
        found = campaigns.find_campaign(connection, name)
        if bool(body.items) == body.all:
            raise UsageError("say which disputes are accepted: either items, or all")
        which = campaign_line.c.item.in_(body.items) if body.items else true()
        lines = answers.meant(connection, found, which, None)
        disputed = [row for row in lines if row.answer == DISPUTED]
        _check_items(body.items, disputed, "is disputed")
        given = answers.accept(
            connection, found, disputed, actor=principal.actor, now_ms=clock.now_ms()
        )
        return Accepted(given)

    return await store.run_write(work)


def own_teams(connection: Connection, principal: Principal) -> frozenset[int]:
    """Return the numbers of the teams of who asks."""
    if principal.teams is not None:
        return principal.teams
    return teams_of_user(connection, principal.user)


def _meant(
    connection: Connection,
    found: campaigns.Campaign,
    body: AnswerBody,
    principal: Principal,
    now_ms: int,
) -> list[Row[Any]]:
    """Return the lines that an answer is about; a problem if somebody else's are named."""
    ways = (bool(body.items), bool(body.id), body.what is not None, body.all)
    if sum(ways) != 1:
        raise UsageError("say which lines are meant: either items, id, what and q, or all")
    owners = _answering(connection, body, principal)
    if body.items:
        named = answers.meant(connection, found, campaign_line.c.item.in_(body.items), None)
        _check_items(body.items, named, "is there, and its owner's still")
        if owners is not None and any(row.team_no not in owners for row in named):
            raise forbidden("some of these lines are not your teams': their owners answer")
        return named
    if body.id:
        thing = thing_of(connection, one_match(connection, body.id, body.kind))
        which = answers.of_things([thing, *scopes_of(connection, [thing])])
        lines = answers.meant(connection, found, which, owners)
        if not lines:
            raise UsageError(f"of {body.id!r} nothing is asked of you in campaign {found.name}")
        return lines
    if body.what is None:
        return answers.meant(connection, found, IS_OPEN, owners)
    query = replace(parse(body.q), asker=principal.user)
    which = answers.of_query(connection, body.what, query, now_ms)
    return answers.meant(connection, found, which, owners)


def _answering(
    connection: Connection, body: AnswerBody, principal: Principal
) -> frozenset[int] | None:
    """Return the teams for which is answered; None: for whoever is asked about what is named."""
    own = own_teams(connection, principal)
    for_others = principal.may(Permission.CAMPAIGNS_WRITE)
    if body.team:
        named = frozenset({team_no(connection, body.team)})
        if not for_others and not named <= own:
            raise forbidden(f"you are not in team {body.team}: its members answer, or an operator")
        return named
    if for_others and (body.items or body.id):
        return None
    if not own:
        raise UsageError("you are in no team: say whose lines are meant, team")
    return own


def _check_items(wanted: list[int], found: list[Row[Any]], what: str) -> None:
    missing = sorted({*wanted} - {row.item for row in found})
    if missing:
        shown = ", ".join(map(str, missing[:10]))
        raise UsageError(f"no line {shown} {what}: GET …/lines has them")
