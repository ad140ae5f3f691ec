"""Changes by hand of one thing or many: owner, label, mark. What would change is told, and done if it is still so.

A form is sent twice: first without a digest, and the page tells what would come of it; then with the digest
of what was told, which REST compares (`If-Match`). Nothing is changed by the first, whatever else was sent.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi.responses import Response
from sqlalchemy import Connection

from keycensus_collector.access.permissions import Permission
from keycensus_collector.access.principals import Principal
from keycensus_collector.api import labels, marks, owners
from keycensus_collector.api.queries import List
from keycensus_collector.api.selection import Edited
from keycensus_collector.errors import UsageError
from keycensus_collector.inventory.identify import ID_CHARACTERS
from keycensus_collector.ownership.assignments import check_reason
from keycensus_collector.ownership.teams import names_of_people, names_of_teams
from keycensus_collector.query.parse import MOST_CHARACTERS
from keycensus_collector.text import safe_text
from keycensus_collector.web.asking import Mistake, Visit, Visiting
from keycensus_collector.web.forms import Sent, attempt, led, submit
from keycensus_collector.web.listed import LISTS
from keycensus_collector.web.lists import MOST_CHOSEN
from keycensus_collector.web.teams import MOST_OFFERED
from keycensus_collector.web.wording import address, counted, segment

router = APIRouter()

_TAKE = "take"
_LIFT = "lift"

Asking = Callable[[Visit, Sent, Mapping[str, Any], str], Awaitable[Edited]]


@dataclass(frozen=True, slots=True)
class Selected:
    """What is meant: `ids` of a list, or all that its query `q` lists. `one`: its own page was open."""

    what: str
    q: str = ""
    ids: tuple[str, ...] = ()
    one: bool = False

    @property
    def told(self) -> str:
        """Return it in words."""
        noun = self.what.removesuffix("s")
        if self.ids:
            return counted(len(self.ids), noun)
        return f"all {self.what} that the query lists" if self.q.strip() else f"no {noun} yet"

    @property
    def way_back(self) -> str:
        """Return the address of the page from which somebody came."""
        if self.what not in LISTS:
            return "/"
        if self.one and self.ids:
            return f"/{self.what}/{segment(self.ids[0])}"
        return address(f"/{self.what}", q=self.q)

    def as_body(self) -> dict[str, Any]:
        """Return it as REST takes it."""
        if self.ids:
            return {"ids": list(self.ids), "kind": self.what.removesuffix("s")}
        return {"what": self.what, "q": self.q}


@dataclass(frozen=True, slots=True)
class Change:
    """One change by hand: of which lists, who may, its fields with what they hold at first, and what does it."""

    name: str
    title: str
    lists: frozenset[str]
    permission: Permission
    fields: Mapping[str, str]
    done: str
    ask: Asking


async def _give(visit: Visit, sent: Sent, meant: Mapping[str, Any], if_match: str) -> Edited:
    owner = None if sent.text("owner_how") == _TAKE else sent.text("owner")
    reason = sent.text("owner_reason")
    if owner is not None:
        check_reason(reason)
    body = owners.AssignBody.model_validate(
        {**meant, "preview": not if_match, "owner": owner, "reason": reason}
    )
    return await owners.give(
        body, visit.store, visit.clock, visit.principal, Response(), if_match=if_match
    )


async def _label(visit: Visit, sent: Sent, meant: Mapping[str, Any], if_match: str) -> Edited:
    value = None if sent.text("label_how") == _TAKE else sent.text("label_value")
    body = labels.LabelBody.model_validate(
        {**meant, "preview": not if_match, "key": sent.text("label_key"), "value": value}
    )
    return await labels.label(
        body, visit.store, visit.clock, visit.principal, Response(), if_match=if_match
    )


async def _mark(visit: Visit, sent: Sent, meant: Mapping[str, Any], if_match: str) -> Edited:
    how, reason = sent.text("mark_how"), sent.text("mark_reason")
    if not reason:
        raise UsageError("say why: a mark, and that it is lifted, is kept with its reason")
    said = {"lift": True} if how == _LIFT else {"mark": how}
    body = marks.MarksBody.model_validate(
        {**meant, "preview": not if_match, **said, "reason": reason}
    )
    return await marks.mark_many(
        body, visit.store, visit.clock, visit.principal, Response(), if_match=if_match
    )


CHANGES = {
    change.name: change
    for change in (
        Change(
            "owner",
            "Owner",
            frozenset(LISTS),
            Permission.OWNERS_WRITE,
            {"owner_how": "give", "owner": "", "owner_reason": ""},
            "owned",
            _give,
        ),
        Change(
            "label",
            "Label",
            frozenset({"certificates", "hosts"}),
            Permission.LABELS_WRITE,
            {"label_how": "set", "label_key": "", "label_value": ""},
            "labelled",
            _label,
        ),
        Change(
            "mark",
            "Mark",
            frozenset({"certificates", "keys"}),
            Permission.MARKS_WRITE,
            {"mark_how": "compromised", "mark_reason": ""},
            "marked",
            _mark,
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Offered:
    """The forms that somebody is offered for what is meant, with what they hold."""

    selected: Selected
    changes: tuple[Change, ...]
    given: Mapping[str, str]
    owners: tuple[str, ...]


async def offered(
    visit: Visit,
    selected: Selected,
    only: str = "",
    given: Mapping[str, str] | None = None,
) -> Offered:
    """Return the forms for what is meant that who asks may send; `only`: no other than this."""
    changes = tuple(
        change for change in may_change(visit.principal, selected.what) if only in {"", change.name}
    )
    blank = {name: value for change in changes for name, value in change.fields.items()}
    names = await visit.store.run_read(_owner_names) if changes else ()
    return Offered(selected, changes, blank | dict(given or {}), names)


def may_change(principal: Principal, what: str) -> list[Change]:
    """Return what somebody may change of the things of a list."""
    return [
        change
        for change in CHANGES.values()
        if what in change.lists and principal.may(change.permission)
    ]


@router.get("/change")
async def choose(
    visit: Visiting,
    what: List,
    q: Annotated[str, Query(max_length=MOST_CHARACTERS)] = "",
    id: Annotated[  # noqa: A002 - the field's name
        list[Annotated[str, Query(max_length=ID_CHARACTERS)]] | None,
        Query(max_length=MOST_CHOSEN),
    ] = None,
    of: Literal["chosen", "all", "one"] = "chosen",
) -> Response:
    """Ask what is to be done with the rows that were chosen, or with all that a query lists."""
    ids = () if of == "all" else tuple(dict.fromkeys(id or ()))
    selected = Selected(what, q, ids, one=of == "one")
    mistake = None
    if not ids and of != "all":
        mistake = Mistake(HTTPStatus.BAD_REQUEST, "No row was chosen: go back, and choose some.")
    elif not ids and not q.strip():
        mistake = Mistake(
            HTTPStatus.BAD_REQUEST,
            f"Say which {what} in a query first: not all of them are changed at once.",
        )
    shown = await offered(visit, selected, only="nothing" if mistake else "")
    return _page(visit, shown, mistake=mistake)


@router.post("/change/owner")
async def change_owner(visit: Visiting) -> Response:
    """Tell what giving things to somebody, or taking them back, would do; or do what was told."""
    return await _change(visit, CHANGES["owner"])


@router.post("/change/label")
async def change_label(visit: Visiting) -> Response:
    """Tell what setting a label, or taking it off, would do; or do what was told."""
    return await _change(visit, CHANGES["label"])


@router.post("/change/mark")
async def change_mark(visit: Visiting) -> Response:
    """Tell what setting a mark, or lifting marks, would do; or do what was told."""
    return await _change(visit, CHANGES["mark"])


@router.post("/marks/{number}/lift")
async def lift(number: marks.Number, visit: Visiting) -> Response:
    """Lift one mark."""

    async def act(sent: Sent) -> str:
        body = marks.LiftBody.model_validate({"reason": sent.text("reason")})
        await marks.lift(number, body, visit.store, visit.clock, visit.principal)
        return selected_of(sent).way_back

    async def again(sent: Sent, mistake: Mistake) -> Response:
        return _page(visit, await offered(visit, selected_of(sent), only="mark"), mistake=mistake)

    return await submit(visit, act, again, "mark-lifted")


async def _change(visit: Visit, change: Change) -> Response:
    async def act(sent: Sent) -> Response:
        selected, digest = selected_of(sent), sent.text("digest")
        done = await change.ask(visit, sent, selected.as_body(), f'"{digest}"' if digest else "")
        if done.done:
            return led(selected.way_back, change.done)
        return await told(sent, done)

    async def told(sent: Sent, done: Edited, mistake: Mistake | None = None) -> Response:
        given = {name: sent.text(name) for name in change.fields}
        shown = await offered(visit, selected_of(sent), change.name, given)
        return _page(visit, shown, told=done, change=change, mistake=mistake)

    async def again(sent: Sent, mistake: Mistake) -> Response:
        if mistake.status is HTTPStatus.PRECONDITION_FAILED:
            # What it would be now is told in its place, to be decided anew.
            async def anew(sent: Sent) -> Response:
                now = await change.ask(visit, sent, selected_of(sent).as_body(), "")
                return await told(sent, now, mistake)

            return await attempt(visit, anew, wrong)
        return await wrong(sent, mistake)

    async def wrong(sent: Sent, mistake: Mistake) -> Response:
        given = {name: sent.text(name) for name in change.fields}
        shown = await offered(visit, selected_of(sent), change.name, given)
        return _page(visit, shown, mistake=mistake)

    return await attempt(visit, act, again)


def selected_of(sent: Sent) -> Selected:
    """Return what a form that was sent means."""
    return Selected(
        what=sent.text("what"),
        q=sent.text("q"),
        ids=tuple(sent.text("ids").split()),
        one=sent.text("one") == "yes",
    )


def _page(
    visit: Visit,
    shown: Offered,
    *,
    told: Edited | None = None,
    change: Change | None = None,
    mistake: Mistake | None = None,
) -> Response:
    return visit.page(
        "change.html",
        mistake=mistake,
        offered=shown,
        told=told,
        change=change,
        wish=safe_text(_wish(shown.given)) if change else "",
        query=safe_text(shown.selected.q),
    )


def _wish(given: Mapping[str, str]) -> str:
    """Return in words what was asked for."""
    if "owner" in given:
        take = given["owner_how"] == _TAKE
        return "Take back what was given by hand" if take else f"Give to {given['owner']}"
    if "label_key" in given:
        take = given["label_how"] == _TAKE
        said = given["label_key"] if take else f"{given['label_key']}={given['label_value']}"
        return f"Take the label {said} off" if take else f"Set the label {said}"
    how = given["mark_how"]
    return "Lift marks" if how == _LIFT else f"Mark as {how}"


def _owner_names(connection: Connection) -> tuple[str, ...]:
    teams = names_of_teams(connection, MOST_OFFERED)
    people = names_of_people(connection, MOST_OFFERED) if teams is not None else None
    return () if teams is None or people is None else tuple(sorted({*teams, *people}))
