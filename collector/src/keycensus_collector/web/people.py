"""The pages of people: who there is, what they own, and how somebody leaves: told first, then done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from fastapi.responses import Response

from keycensus_collector.access.permissions import Permission
from keycensus_collector.api import owners as owners_api
from keycensus_collector.api import teams as api
from keycensus_collector.api.days import TODAY, Day, DayOf
from keycensus_collector.api.problems import ProblemError
from keycensus_collector.ownership.people import list_people
from keycensus_collector.web.asking import Mistake, Visit, Visiting
from keycensus_collector.web.forms import Sent, submit, told_first
from keycensus_collector.web.teams import ROWS, After, owned_by, shown_on, team_names
from keycensus_collector.web.wording import segment

router = APIRouter()

_FIELDS = ("full_name", "email", "contact", "user", "subject")
_NEW = dict.fromkeys(("name", *_FIELDS), "")
_TEXT_CHARACTERS = 200
# Who of the people is shown: the word in the address, and what the page calls it.
Who = Literal["", "active", "no-team", "left"]
_WHO = (("", "Everybody"), ("active", "Active"), ("no-team", "In no team"), ("left", "Left"))


@router.get("/people")
async def people(
    visit: Visiting,
    after: After = "",
    name: Annotated[str, Query(max_length=_TEXT_CHARACTERS)] = "",
    who: Annotated[Who, Query()] = "",
    day: DayOf = TODAY,
) -> Response:
    """Show people by name, all or some. `name`: with this in their name or address."""
    return await _show_all(visit, _NEW, after=after, part=name, who=who, day=day)


@router.post("/people")
async def add(visit: Visiting) -> Response:
    """Add a person."""

    async def act(sent: Sent) -> str:
        name = sent.text("name")
        known = await visit.store.run_read(partial(list_people, name=name)) if name else []
        if known and known[0].state == "active":
            raise ProblemError(
                HTTPStatus.CONFLICT, "conflict", f"There is a person {name} already."
            )
        return await _save(visit, name, sent)

    async def again(sent: Sent, mistake: Mistake) -> Response:
        return await _show_all(visit, {name: sent.text(name) for name in _NEW}, mistake)

    return await submit(visit, act, again, "person-saved")


@router.get("/people/{name}")
async def person(name: str, visit: Visiting, day: DayOf = TODAY) -> Response:
    """Show one person: teams, how they are reached, and what they own alone."""
    return await shown_on(visit, "person", name, day, _show)


@router.post("/people/{name}")
async def change(name: str, visit: Visiting) -> Response:
    """Change what is known of a person; who left comes back by it."""

    async def act(sent: Sent) -> str:
        await api.one_person(name, visit.store)
        return await _save(visit, name, sent)

    async def again(sent: Sent, mistake: Mistake) -> Response:
        return await _show(visit, name, {field: sent.text(field) for field in _FIELDS}, mistake)

    return await submit(visit, act, again, "person-saved")


@router.get("/people/{name}/leave")
async def ask_to_leave(
    name: str, visit: Visiting, to: Annotated[str, Query(max_length=64)] = ""
) -> Response:
    """Tell what goes with a person, to which team, before they leave."""
    return await _show_leaving(visit, name, to)


@router.post("/people/{name}/leave")
async def leave(name: str, visit: Visiting) -> Response:
    """Let a person leave, if what goes with them is still what was told."""

    async def act(sent: Sent) -> str:
        body = api.LeaveBody.model_validate({"to": sent.text("to")})
        await api.leave(
            name,
            body,
            visit.store,
            visit.clock,
            visit.principal,
            Response(),
            if_match=f'"{sent.text("digest")}"',
        )
        return f"/people/{segment(name)}"

    async def again(sent: Sent, mistake: Mistake) -> Response:
        return await _show_leaving(visit, name, sent.text("to"), mistake)

    return await submit(visit, act, again, "person-left")


async def _save(visit: Visit, name: str, sent: Sent) -> str:
    body = api.PersonBody.model_validate({field: sent.text(field) for field in _FIELDS})
    await api.save_person(name, body, visit.store, visit.clock, visit.principal)
    return f"/people/{segment(name)}"


async def _show_all(
    visit: Visit,
    given: Mapping[str, str],
    mistake: Mistake | None = None,
    *,
    after: str = "",
    part: str = "",
    who: Who = "",
    day: Day = TODAY,
) -> Response:
    found = await api.list_people(
        visit.store,
        day=day,
        state=who if who == "active" or who == "left" else None,  # noqa: PLR1714 - mypy sees it so
        without_team=who == "no-team",
    )
    word = part.strip().lower()
    named = [
        one
        for one in found
        if any(word in text.lower() for text in (one.name, one.full_name, one.email))
    ]
    rows = [one for one in named if one.name > after]
    return visit.page(
        "people.html",
        mistake=mistake,
        given=given,
        people=rows[:ROWS],
        total=len(named),
        part=part,
        who=who,
        choices=_WHO,
        next=rows[ROWS - 1].name if len(rows) > ROWS else "",
        may_write=day == TODAY and visit.principal.may(Permission.PEOPLE_WRITE),
        day=day.text,
    )


async def _show(
    visit: Visit,
    name: str,
    given: Mapping[str, str] | None = None,
    mistake: Mistake | None = None,
    day: Day = TODAY,
) -> Response:
    found = await api.one_person(name, visit.store, day)
    held = {field: value for field, value in asdict(found).items() if field in _FIELDS}
    return visit.page(
        "person.html",
        mistake=mistake,
        given=held | dict(given or {}),
        person=found,
        owned=await owned_by(visit, name, day),
        may_write=day == TODAY and visit.principal.may(Permission.PEOPLE_WRITE),
        day=day.text,
    )


async def _show_leaving(
    visit: Visit, name: str, to: str, mistake: Mistake | None = None
) -> Response:
    found = await api.one_person(name, visit.store)
    body = api.LeaveBody(to=to, preview=True)
    ask = partial(api.leave, name, body, visit.store, visit.clock, visit.principal)
    told, digest, mistake = await told_first(visit, ask, mistake, is_asked=bool(to or found.left))
    return visit.page(
        "person_leave.html",
        mistake=mistake,
        person=found,
        to=to,
        told=told,
        digest=digest,
        fallback=(await owners_api.fallback(visit.store)).team,
        names=await team_names(visit),
    )
