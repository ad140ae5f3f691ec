"""All that people set, at once: for files in git, which say what there is to be."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field, StrictBool
from sqlalchemy import Connection

from keycensus_collector.access import audit
from keycensus_collector.access.permissions import Permission
from keycensus_collector.api.conditional import IfMatch, check_preconditions, tag_of
from keycensus_collector.api.problems import ProblemError, forbidden
from keycensus_collector.api.queries import Listing
from keycensus_collector.api.security import AUTHENTICATED, ClockOf, CurrentPrincipal, StoreOf
from keycensus_collector.declared.current import declared_now
from keycensus_collector.declared.making import MistakesError, make_so
from keycensus_collector.declared.model import (
    Declared,
    DeclaredPerson,
    DeclaredTeam,
    DeclaredView,
    Kind,
    Made,
    Wanted,
)
from keycensus_collector.ownership.rule_text import MOST_CHARACTERS

router = APIRouter(prefix="/api/v1", dependencies=AUTHENTICATED, tags=["declared"])

# How long a body may be: 100,000 people and as many labelled things.
LARGER = {"/api/v1/declared": 32 * 1024 * 1024}
_MOST_THINGS = 100_000
_MOST_MISTAKES = 200

_NEEDS: dict[Kind, Permission] = {
    "views": Permission.VIEWS_WRITE,
    "teams": Permission.TEAMS_WRITE,
    "people": Permission.PEOPLE_WRITE,
    "rules": Permission.RULES_WRITE,
    "labels": Permission.LABELS_WRITE,
}

_Text = Annotated[str, Field(max_length=2_000)]
_Name = Annotated[str, Field(max_length=300)]
_Labels = dict[Annotated[str, Field(max_length=63)], Annotated[str, Field(max_length=2_000)]]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ViewSaid(_Body):
    """A view."""

    what: Listing
    query: Annotated[str, Field(max_length=8_000)]
    description: _Text = ""
    columns: Annotated[list[_Name], Field(max_length=50)] = []


class TeamSaid(_Body):
    """A team. All that is left out is empty."""

    description: _Text = ""
    contact: _Text = ""
    members: Annotated[list[_Name], Field(max_length=10_000)] = []
    status: Literal["active", "dissolved"] = "active"


class PersonSaid(_Body):
    """A person. All that is left out is empty."""

    full_name: _Text = ""
    email: _Text = ""
    contact: _Text = ""
    user: _Name = ""
    subject: _Text = ""
    status: Literal["active", "left"] = "active"


class DeclaredBody(_Body):
    """What there is to be of some kinds; of others nothing is touched. `prune`: what is not named goes."""

    kinds: list[Kind]
    prune: StrictBool = False
    views: Annotated[dict[_Name, ViewSaid], Field(max_length=_MOST_THINGS)] = {}
    teams: Annotated[dict[_Name, TeamSaid], Field(max_length=_MOST_THINGS)] = {}
    people: Annotated[dict[_Name, PersonSaid], Field(max_length=_MOST_THINGS)] = {}
    fallback: _Name | None = None
    rules: Annotated[
        list[Annotated[str, Field(max_length=MOST_CHARACTERS)]], Field(max_length=MOST_CHARACTERS)
    ] = []
    hosts: Annotated[dict[_Name, _Labels], Field(max_length=_MOST_THINGS)] = {}
    certificates: Annotated[dict[_Name, _Labels], Field(max_length=_MOST_THINGS)] = {}


@dataclass(frozen=True, slots=True)
class DeclaredOutcome:
    """What there was and what there is, or would be. `tag`: of what there was, for `If-Match`."""

    done: bool
    tag: str
    before: Declared
    after: Declared
    kept: list[str]
    moved: list[str]
    absent: list[str]


class _UndoError(Exception):
    """What was made is only looked at."""

    def __init__(self, made: Made) -> None:
        super().__init__()
        self.made = made


@router.get("/declared", summary="All that people set, for files")
async def declared(
    store: StoreOf, response: Response, clock: ClockOf, principal: CurrentPrincipal
) -> Declared:
    """Return views, teams, people, the fallback team, rules and labels by hand, in a stable order."""
    found = await store.run_read(declared_now)
    response.headers["ETag"] = tag_of(found)

    def note(connection: Connection) -> None:
        audit.record(
            connection,
            at_ms=clock.now_ms(),
            actor=principal.actor,
            action="declared.read",
            subject="declared",
        )

    await store.run_write(note)
    return found


@router.post("/declared", summary="Make all of it what files say")
async def declare(
    body: DeclaredBody,
    store: StoreOf,
    clock: ClockOf,
    principal: CurrentPrincipal,
    if_match: IfMatch = "",
    *,
    check: Annotated[
        bool, Query(description="Only answer what it would be: nothing is changed.")
    ] = False,
) -> DeclaredOutcome:
    """All of it or nothing, in one transaction; all mistakes are told together."""
    for kind in body.kinds:
        if not principal.may(_NEEDS[kind]):
            raise forbidden(f"{kind} need the permission {_NEEDS[kind]}")
    wanted = _wanted(body)

    def work(connection: Connection) -> Made:
        if if_match:
            check_preconditions(
                tag_of(declared_now(connection)), if_match=if_match, if_none_match=""
            )
        made = make_so(
            connection,
            wanted,
            over_admins=principal.may(Permission.USERS_WRITE),
            actor=principal.actor,
            now_ms=clock.now_ms(),
        )
        if check:
            raise _UndoError(made)
        return made

    try:
        made = await store.run_write(work)
    except _UndoError as undone:
        made = undone.made
    except MistakesError as error:
        raise _mistaken(error) from None
    return DeclaredOutcome(
        done=not check,
        tag=tag_of(made.before),
        before=made.before,
        after=made.after,
        kept=made.kept,
        moved=made.moved,
        absent=made.absent,
    )


def _wanted(body: DeclaredBody) -> Wanted:
    return Wanted(
        kinds=frozenset(body.kinds),
        declared=Declared(
            views={name: DeclaredView(**_plain(said)) for name, said in body.views.items()},
            teams={name: DeclaredTeam(**_plain(said)) for name, said in body.teams.items()},
            people={name: DeclaredPerson(**_plain(said)) for name, said in body.people.items()},
            rules=body.rules,
            hosts=body.hosts,
            certificates=body.certificates,
        ),
        fallback=body.fallback,
        prune=body.prune,
    )


def _plain(said: _Body) -> dict[str, Any]:
    return said.model_dump()


def _mistaken(error: MistakesError) -> ProblemError:
    told = error.mistakes[:_MOST_MISTAKES]
    return ProblemError(
        HTTPStatus.BAD_REQUEST,
        "usage",
        f"{len(error.mistakes)} of these can't be; nothing was changed: {told[0].text}",
        mistakes=[
            {
                "parameter": f"{each.kind}/{each.name}" if each.name else each.kind,
                "line": each.line,
                "message": each.text,
            }
            for each in told
        ],
    )
