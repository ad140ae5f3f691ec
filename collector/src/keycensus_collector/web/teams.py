"""The pages of teams: who is in them, what they own, and what becomes of it where one ends. And the fallback team."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response
from sqlalchemy import Connection

from keycensus_collector.access.permissions import Permission
from keycensus_collector.api import owners as owners_api
from keycensus_collector.api import teams as api
from keycensus_collector.api.days import TODAY, Day, DayOf
from keycensus_collector.api.parameters import QueryParameters
from keycensus_collector.api.problems import ProblemError
from keycensus_collector.inventory import results
from keycensus_collector.ownership.teams import names_of_teams
from keycensus_collector.views.model import View
from keycensus_collector.views.shown import counted, counted_then
from keycensus_collector.web.asking import Mistake, Visit, Visiting
from keycensus_collector.web.forms import Again, Sent, submit, told_first
from keycensus_collector.web.listed import LISTS
from keycensus_collector.web.wording import owner_query, segment

router = APIRouter()

# Of a table, how many rows a page shows; and of names that are offered while one is typed.
ROWS, MOST_OFFERED = 200, 500
_NAME_CHARACTERS = 64
_NEW = {"name": "", "description": "", "contact": "", "fallback": ""}

After = Annotated[str, Query(max_length=_NAME_CHARACTERS)]


@dataclass(frozen=True, slots=True)
class Owned:
    """What an owner has of a list: as many as the list at `query` says."""

    what: str
    query: str
    total: int
    total_is_exact: bool


@router.get("/teams")
async def teams(
    visit: Visiting,
    after: After = "",
    *,
    all: bool = False,  # noqa: A002 - as REST has it
    day: DayOf = TODAY,
) -> Response:
    """Show teams by name, those that were dissolved too if `all`; and which is the fallback team."""
    return await _show_all(visit, _NEW, after=after, everything=all, day=day)


@router.post("/teams")
async def create(visit: Visiting) -> Response:
    """Make a team."""

    async def act(sent: Sent) -> str:
        name = sent.text("name")
        if any(each.name == name for each in await api.list_teams(visit.store, all=True)):
            raise ProblemError(HTTPStatus.CONFLICT, "conflict", f"There is a team {name} already.")
        await _save(visit, name, sent)
        return f"/teams/{segment(name)}"

    async def again(sent: Sent, mistake: Mistake) -> Response:
        given = {name: sent.text(name) for name in _NEW}
        return await _show_all(visit, given, mistake)

    return await submit(visit, act, again, "team-saved")


@router.post("/fallback")
async def fallback(visit: Visiting) -> Response:
    """Say which team answers for what nobody owns."""

    async def act(sent: Sent) -> str:
        body = owners_api.FallbackBody.model_validate({"team": sent.text("fallback")})
        await owners_api.set_fallback(body, visit.store, visit.clock, visit.principal)
        return "/teams"

    async def again(sent: Sent, mistake: Mistake) -> Response:
        return await _show_all(visit, {**_NEW, "fallback": sent.text("fallback")}, mistake)

    return await submit(visit, act, again, "fallback-set")


@router.get("/teams/{name}")
async def team(name: str, visit: Visiting, day: DayOf = TODAY) -> Response:
    """Show one team: members, contact, and what it owns."""
    return await shown_on(visit, "team", name, day, _show)


@router.post("/teams/{name}")
async def describe(name: str, visit: Visiting) -> Response:
    """Change what is said of a team."""

    async def act(sent: Sent) -> str:
        await api.team(name, visit.store)
        await _save(visit, name, sent)
        return f"/teams/{segment(name)}"

    return await submit(visit, act, _again(visit, name), "team-saved")


@router.post("/teams/{name}/rename")
async def rename(name: str, visit: Visiting) -> Response:
    """Give a team another name."""

    async def act(sent: Sent) -> str:
        body = api.RenameBody.model_validate({"name": sent.text("new_name")})
        await api.rename(name, body, visit.store, visit.clock, visit.principal)
        return f"/teams/{segment(body.name)}"

    return await submit(visit, act, _again(visit, name), "team-renamed")


@router.post("/teams/{name}/members")
async def join(name: str, visit: Visiting) -> Response:
    """Let somebody join a team."""

    async def act(sent: Sent) -> str:
        person = sent.text("person")
        await api.join(name, person, visit.store, visit.clock, visit.principal)
        return f"/teams/{segment(name)}"

    return await submit(visit, act, _again(visit, name), "member-added")


@router.post("/teams/{name}/members/remove")
async def part(name: str, visit: Visiting) -> Response:
    """Take somebody out of a team."""

    async def act(sent: Sent) -> str:
        person = sent.text("person")
        await api.part(name, person, visit.store, visit.clock, visit.principal)
        return f"/teams/{segment(name)}"

    return await submit(visit, act, _again(visit, name), "member-removed")


@router.get("/teams/{name}/dissolve")
async def ask_to_dissolve(name: str, visit: Visiting, into: After = "") -> Response:
    """Tell what ends with a team, and who takes what it holds, before it is dissolved."""
    return await _show_end(visit, name, into)


@router.post("/teams/{name}/dissolve")
async def dissolve(name: str, visit: Visiting) -> Response:
    """End a team, if what it holds is still what was told; that moves."""

    async def act(sent: Sent) -> str:
        body = api.DissolveBody.model_validate({"into": sent.text("into")})
        await api.dissolve(
            name,
            body,
            visit.store,
            visit.clock,
            visit.principal,
            Response(),
            if_match=f'"{sent.text("digest")}"',
        )
        return "/teams"

    async def again(sent: Sent, mistake: Mistake) -> Response:
        return await _show_end(visit, name, sent.text("into"), mistake)

    return await submit(visit, act, again, "team-dissolved")


async def owned_by(visit: Visit, name: str, day: Day = TODAY) -> list[Owned]:
    """Return how many things of each list an owner has, or had on a past day, as the lists count."""
    query = owner_query(name)
    views = [View(each, "", each, query) for each in LISTS]

    def work(connection: Connection) -> list[results.View]:
        if day != TODAY:
            then = QueryParameters(as_of=day.text).as_query()
            return counted_then(connection, views, then, visit.now_ms)
        return counted(connection, views, visit.now_ms, visit.principal.user)

    found = await visit.store.run_read(work)
    return [Owned(one.what, query, one.total or 0, one.total_is_exact) for one in found]


async def shown_on(
    visit: Visit, what: str, name: str, day: Day, show: Callable[..., Awaitable[Response]]
) -> Response:
    """Show something by `show` as it was; of what is there now and was not then, that."""
    try:
        return await show(visit, name, day=day)
    except ProblemError as problem:
        if day == TODAY or problem.status != HTTPStatus.NOT_FOUND:
            raise
    await show(visit, name)  # or there never was such a one
    path = visit.request.url.path
    return visit.page("not_then.html", what=what, name=name, day=day.text, now_path=path)


async def team_names(visit: Visit) -> list[str]:
    """Return the names of teams to be offered; none if there are too many."""
    return await visit.store.run_read(partial(names_of_teams, most=MOST_OFFERED)) or []


async def _save(visit: Visit, name: str, sent: Sent) -> None:
    body = api.TeamBody.model_validate(
        {"description": sent.text("description"), "contact": sent.text("contact")}
    )
    await api.save_team(name, body, visit.store, visit.clock, visit.principal)


async def _show_all(
    visit: Visit,
    given: Mapping[str, str],
    mistake: Mistake | None = None,
    *,
    after: str = "",
    everything: bool = False,
    day: Day = TODAY,
) -> Response:
    found = await api.list_teams(visit.store, all=everything, day=day)
    rows = [each for each in found if each.name > after]
    return visit.page(
        "teams.html",
        mistake=mistake,
        given=given,
        teams=rows[:ROWS],
        total=len(found),
        next=rows[ROWS - 1].name if len(rows) > ROWS else "",
        everything=everything,
        fallback=(await owners_api.fallback(visit.store, day)).team,
        names=await team_names(visit),
        may_write=day == TODAY and visit.principal.may(Permission.TEAMS_WRITE),
        day=day.text,
    )


async def _show(
    visit: Visit,
    name: str,
    given: Mapping[str, str] | None = None,
    mistake: Mistake | None = None,
    day: Day = TODAY,
) -> Response:
    found = await api.team(name, visit.store, day)
    held = {"description": found.description, "contact": found.contact}
    may_write = visit.principal.may(Permission.TEAMS_WRITE) and not found.dissolved
    people = await api.list_people(visit.store, day=day)
    others = [one.name for one in people if one.state == "active" and name not in one.teams]
    return visit.page(
        "team.html",
        mistake=mistake,
        given={"new_name": "", "person": ""} | held | dict(given or {}),
        team=found,
        members=[one for one in people if one.name in found.members],
        owned=[] if found.dissolved else await owned_by(visit, name, day),
        fallback=(await owners_api.fallback(visit.store, day)).team,
        people=others if len(others) <= MOST_OFFERED else [],
        may_write=may_write and day == TODAY,
        day=day.text,
    )


async def _show_end(visit: Visit, name: str, into: str, mistake: Mistake | None = None) -> Response:
    team = await api.team(name, visit.store)
    body = api.DissolveBody(into=into, preview=True)
    ask = partial(api.dissolve, name, body, visit.store, visit.clock, visit.principal)
    told, digest, mistake = await told_first(
        visit, ask, mistake, is_asked=bool(into or team.dissolved)
    )
    return visit.page(
        "team_end.html",
        mistake=mistake,
        team=team,
        into=into,
        told=told,
        digest=digest,
        owned=await owned_by(visit, name),
        fallback=(await owners_api.fallback(visit.store)).team,
        names=[each for each in await team_names(visit) if each != name],
    )


def _again(visit: Visit, name: str) -> Again:
    async def again(sent: Sent, mistake: Mistake) -> Response:
        given = {
            field: sent.text(field)
            for field in ("description", "contact", "new_name", "person")
            if field in sent.data
        }
        return await _show(visit, name, given, mistake)

    return again
