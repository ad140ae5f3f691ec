"""Teams and people: who belongs where, who leaves, and what they held."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import partial
from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field, StrictBool
from sqlalchemy import Connection

from keycensus_collector.access.permissions import Permission
from keycensus_collector.api.conditional import IfMatch
from keycensus_collector.api.days import TODAY, Day, DayOf
from keycensus_collector.api.problems import ProblemError
from keycensus_collector.api.security import AUTHENTICATED, ClockOf, CurrentPrincipal, StoreOf
from keycensus_collector.api.telling import Deed
from keycensus_collector.inventory.values import time_text
from keycensus_collector.ownership import leaving, moving, people, roster, teams

router = APIRouter(prefix="/api/v1", dependencies=AUTHENTICATED)

_Text = Annotated[str, Field(max_length=500)]
_Name = Annotated[str, Field(max_length=64)]
_OfPerson = Annotated[str, Field(max_length=200)]


@dataclass(frozen=True, slots=True)
class Held:
    """What a team holds: given by hand (by kind), by rules, and owned for whatever reason."""

    given: dict[str, int]
    rules: list[str]
    certificates: int
    keys: int
    hosts: int
    places: int


@dataclass(frozen=True, slots=True)
class Dissolved(Held):
    """What a team held that is dissolved, or with `preview` would be, and who takes that: nobody, if it held nothing."""

    done: bool
    members: list[str]
    moves_to: str


@dataclass(frozen=True, slots=True)
class Team:
    """A team, or a person who owns something alone (`person`)."""

    name: str
    description: str
    contact: str
    members: list[str]
    person: str
    dissolved: str | None
    held: Held | None = None


@dataclass(frozen=True, slots=True)
class Person:
    """A person. `user`: the user that is theirs, if it has another name.

    `by_groups`: those of `teams` that groups at a provider of OpenID Connect give.
    """

    name: str
    full_name: str
    email: str
    contact: str
    user: str
    subject: str
    state: str
    teams: list[str]
    by_groups: list[str]
    left: str | None


@dataclass(frozen=True, slots=True)
class Left:
    """What goes with a person: `alone` is theirs, of `last` they are the last member."""

    name: str
    done: bool
    alone: Held | None
    teams: list[str]
    last: dict[str, Held]
    moves_to: str
    users: list[str]
    tokens: int


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class TeamBody(_Body):
    """What is said of a team; what is left out stays."""

    description: _Text | None = None
    contact: _Text | None = None


class RenameBody(_Body):
    """The new name."""

    name: _Name


class DissolveBody(_Body):
    """Who takes what the team held; empty: the fallback team. `preview` changes nothing."""

    into: _Name = ""
    preview: StrictBool = False


class PersonBody(_Body):
    """A person. All that is left out is empty."""

    full_name: _OfPerson = ""
    email: _Text = ""
    contact: _OfPerson = ""
    user: _Name = ""
    subject: _OfPerson = ""


class RosterBody(_Body):
    """A list of everybody. `sure`: many leave at once, and the list is whole."""

    format: Literal["csv", "json", "ldif"]
    text: Annotated[str, Field(max_length=roster.MOST_CHARACTERS)]
    to: _Name = ""
    sure: StrictBool = False
    preview: StrictBool = False


class LeaveBody(_Body):
    """Which team takes what they hold; empty: the fallback team. `preview` changes nothing."""

    to: _Name = ""
    preview: StrictBool = False


@dataclass(frozen=True, slots=True)
class Roster:
    """What a list of everybody did, or would do. `share`: of a hundred, how many leave."""

    done: bool
    added: list[str]
    changed: list[str]
    leaving: list[str]
    share: int


@router.get("/teams", tags=["ownership"], summary="Teams with their members")
async def list_teams(
    store: StoreOf,
    *,
    all: Annotated[bool, Query(description="Also those that are dissolved.")] = False,  # noqa: A002 - the parameter's name
    day: DayOf = TODAY,
) -> list[Team]:
    """List teams by name, and people who own something alone.

    Of a past day are who was in them and which were dissolved; names and what is said of them are today's.
    """
    found = await store.run_read(partial(teams.list_teams, as_of_ms=day.as_of_ms))
    return [_team(each) for each in found if all or each.dissolved_ms is None]


@router.get("/teams/{name}", tags=["ownership"], summary="One team and what it holds")
async def team(name: str, store: StoreOf, day: DayOf = TODAY) -> Team:
    """Members, contact, and what would be without an owner if the team went; or was so on a past day."""
    return await store.run_read(partial(_one_team, name=name, day=day))


@router.put("/teams/{name}", tags=["ownership"], summary="Create or change a team")
async def save_team(
    name: str, body: TeamBody, store: StoreOf, clock: ClockOf, principal: CurrentPrincipal
) -> Team:
    """Make a team of this name, or change what is said of it."""

    def work(connection: Connection) -> Team:
        if _find_team(connection, name) is None:
            teams.create_team(
                connection,
                name,
                description=body.description or "",
                contact=body.contact or "",
                actor=principal.actor,
                now_ms=clock.now_ms(),
            )
        else:
            teams.describe_team(
                connection,
                name,
                description=body.description,
                contact=body.contact,
                actor=principal.actor,
                now_ms=clock.now_ms(),
            )
        return _one_team(connection, name)

    return await store.run_write(work)


@router.post("/teams/{name}/rename", tags=["ownership"], summary="Rename a team")
async def rename(
    name: str, body: RenameBody, store: StoreOf, clock: ClockOf, principal: CurrentPrincipal
) -> Team:
    """Give a team another name; what it owns stays its own."""

    def work(connection: Connection) -> Team:
        _one_team(connection, name)
        teams.rename_team(connection, name, body.name, actor=principal.actor, now_ms=clock.now_ms())
        return _one_team(connection, body.name)

    return await store.run_write(work)


@router.post("/teams/{name}/dissolve", tags=["ownership"], summary="Dissolve a team")
async def dissolve(  # noqa: PLR0917 - each is a part of the request
    name: str,
    body: DissolveBody,
    store: StoreOf,
    clock: ClockOf,
    principal: CurrentPrincipal,
    response: Response,
    if_match: IfMatch = "",
) -> Dissolved:
    """End a team; what it held moves, and is the answer; `preview` tells it first.

    The `ETag` of what was told, sent as `If-Match`, ends it only if it is still so.
    """

    def tell(connection: Connection) -> Dissolved:
        _one_team(connection, name)
        found = moving.preview_dissolution(connection, name, into=body.into)
        held = asdict(_held(found.held))
        return Dissolved(**held, done=False, members=list(found.members), moves_to=found.moves_to)

    def do(connection: Connection, told: Dissolved) -> Dissolved:
        moving.dissolve_team(
            connection, name, into=body.into, actor=principal.actor, now_ms=clock.now_ms()
        )
        return replace(told, done=True)

    return await Deed(tell, do).told_or_done(
        store, response, preview=body.preview, if_match=if_match
    )


@router.put("/teams/{name}/members/{person}", tags=["ownership"], summary="Let somebody join")
async def join(
    name: str, person: str, store: StoreOf, clock: ClockOf, principal: CurrentPrincipal
) -> Team:
    """Let a person belong to a team."""

    def work(connection: Connection) -> Team:
        _one_team(connection, name)
        _one_person(connection, person)
        teams.add_member(connection, name, person, actor=principal.actor, now_ms=clock.now_ms())
        return _one_team(connection, name)

    return await store.run_write(work)


@router.delete("/teams/{name}/members/{person}", tags=["ownership"], status_code=204)
async def part(
    name: str, person: str, store: StoreOf, clock: ClockOf, principal: CurrentPrincipal
) -> Response:
    """Take a person out of a team."""

    def work(connection: Connection) -> bool:
        _one_team(connection, name)
        _one_person(connection, person)
        return teams.remove_member(
            connection, name, person, actor=principal.actor, now_ms=clock.now_ms()
        )

    ended = await store.run_write(work)
    if not ended:
        raise ProblemError(
            HTTPStatus.NOT_FOUND, "not-found", f"{person} is not in team {name}: nothing to do"
        )
    return Response(status_code=HTTPStatus.NO_CONTENT)


@router.get("/people", tags=["ownership"], summary="People with their teams")
async def list_people(
    store: StoreOf,
    *,
    state: Annotated[
        Literal["active", "left"] | None, Query(description="Only who is there, or who left.")
    ] = None,
    without_team: Annotated[bool, Query(description="Only who is there and in no team.")] = False,
    day: DayOf = TODAY,
) -> list[Person]:
    """List everybody by name, those who left too.

    Of a past day are their teams and who had left, unless they came back since; all else is today's.
    """
    found = await store.run_read(partial(people.list_people, as_of_ms=day.as_of_ms))
    return [
        _person(each)
        for each in found
        if state in {None, each.state}
        and not (without_team and (each.teams or each.state != "active"))
    ]


@router.get("/people/{name}", tags=["ownership"], summary="One person with their teams")
async def one_person(name: str, store: StoreOf, day: DayOf = TODAY) -> Person:
    """Show one, also who left; as in the list, of a past day too."""
    return await store.run_read(partial(_one_person, name=name, day=day))


@router.put("/people/{name}", tags=["ownership"], summary="Add or change a person")
async def save_person(
    name: str, body: PersonBody, store: StoreOf, clock: ClockOf, principal: CurrentPrincipal
) -> Person:
    """Add a person, change what is known of them, or let one who left come back."""
    wanted = people.Person(name=name, **body.model_dump())

    def work(connection: Connection) -> Person:
        known = _find_person(connection, name) is not None
        save = people.change_person if known else people.add_person
        save(connection, wanted, actor=principal.actor, now_ms=clock.now_ms())
        return _one_person(connection, name)

    return await store.run_write(work)


@router.post("/people", tags=["ownership"], summary="Take a list of everybody")
async def take_list(
    body: RosterBody, store: StoreOf, clock: ClockOf, principal: CurrentPrincipal
) -> Roster:
    """Add who is new, change who changed, and let leave who is missing; `preview` only tells."""
    found = roster.read_people(body.text, body.format)

    def work(connection: Connection) -> roster.Roster:
        if body.preview:
            return roster.preview_people(connection, found)
        return roster.take_people(
            connection,
            found,
            to=body.to,
            sure=body.sure,
            over_admins=principal.may(Permission.USERS_WRITE),
            actor=principal.actor,
            now_ms=clock.now_ms(),
        )

    seen = await (store.run_read(work) if body.preview else store.run_write(work))
    return Roster(
        not body.preview, list(seen.added), list(seen.changed), list(seen.leaving), seen.share
    )


@router.post("/people/{name}/leave", tags=["ownership"], summary="Let somebody leave")
async def leave(  # noqa: PLR0917 - each is a part of the request
    name: str,
    body: LeaveBody,
    store: StoreOf,
    clock: ClockOf,
    principal: CurrentPrincipal,
    response: Response,
    if_match: IfMatch = "",
) -> Left:
    """Move what they held, disable their user and revoke its tokens; `preview` tells it first.

    The `ETag` of what was told, sent as `If-Match`, lets them leave only if it is still so.
    """

    def tell(connection: Connection) -> Left:
        _one_person(connection, name)
        return _left(leaving.preview_leaving(connection, name, to=body.to))

    def do(connection: Connection, _: Left) -> Left:
        done = leaving.leave(
            connection,
            name,
            to=body.to,
            over_admins=principal.may(Permission.USERS_WRITE),
            actor=principal.actor,
            now_ms=clock.now_ms(),
        )
        return replace(_left(done), done=True)

    return await Deed(tell, do).told_or_done(
        store, response, preview=body.preview, if_match=if_match
    )


def _find_team(connection: Connection, name: str, day: Day = TODAY) -> teams.Team | None:
    found = teams.list_teams(connection, day.as_of_ms)
    return next((each for each in found if each.name == name), None)


def _one_team(connection: Connection, name: str, day: Day = TODAY) -> Team:
    found = _find_team(connection, name, day)
    if found is None:
        raise ProblemError(
            HTTPStatus.NOT_FOUND,
            "not-found",
            f"there {_was(day)} no team {name!r}: GET /teams, or keycensus owners teams, has all",
        )
    return _team(found, moving.held_by(connection, found.number, day.as_of_ms))


def _was(day: Day) -> str:
    return "is" if day.as_of_ms is None else f"was at {day.text}"


def _find_person(connection: Connection, name: str, day: Day = TODAY) -> people.Person | None:
    found = people.list_people(connection, name, day.as_of_ms) if name else []
    return next(iter(found), None)


def _one_person(connection: Connection, name: str, day: Day = TODAY) -> Person:
    found = _find_person(connection, name, day)
    if found is None:
        raise ProblemError(
            HTTPStatus.NOT_FOUND,
            "not-found",
            f"there {_was(day)} no person {name!r}: GET /people, or keycensus people list, has all",
        )
    return _person(found)


def _team(found: teams.Team, held: moving.Held | None = None) -> Team:
    return Team(
        name=found.name,
        description=found.description,
        contact=found.contact,
        members=list(found.members),
        person=found.person,
        dissolved=time_text(found.dissolved_ms),
        held=None if held is None else _held(held),
    )


def _held(held: moving.Held) -> Held:
    return Held(
        given=held.given,
        rules=list(held.rules),
        certificates=held.certificates,
        keys=held.keys,
        hosts=held.hosts,
        places=held.places,
    )


def _left(found: leaving.Leaving) -> Left:
    return Left(
        name=found.name,
        done=False,
        alone=None if found.alone is None else _held(found.alone),
        teams=list(found.teams),
        last={each: _held(held) for each, held in found.last.items()},
        moves_to=found.moves_to,
        users=list(found.users),
        tokens=found.tokens,
    )


def _person(found: people.Person) -> Person:
    return Person(
        name=found.name,
        full_name=found.full_name,
        email=found.email,
        contact=found.contact,
        user=found.user,
        subject=found.subject,
        state=found.state,
        teams=list(found.teams),
        by_groups=list(found.by_groups),
        left=time_text(found.left_ms),
    )
