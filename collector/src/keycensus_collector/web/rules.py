"""The page of rules: in force, in the order in which they win; the file, tried and put in force."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus

from fastapi import APIRouter
from fastapi.responses import Response
from sqlalchemy import Connection

from keycensus_collector.access.permissions import Permission
from keycensus_collector.api import rules as api
from keycensus_collector.api.conditional import tag_of
from keycensus_collector.api.days import TODAY, Day, DayOf
from keycensus_collector.api.problems import ProblemError
from keycensus_collector.errors import UsageError
from keycensus_collector.ownership.rule_text import MOST_CHARACTERS, Written, read_rules
from keycensus_collector.ownership.rules import rules_in_force
from keycensus_collector.ownership.teams import list_teams
from keycensus_collector.query.render import render
from keycensus_collector.text import safe_text
from keycensus_collector.web.asking import Mistake, Visit, Visiting
from keycensus_collector.web.forms import Sent, attempt, led

router = APIRouter()

_EXAMPLE = """owners:
  - rule: web-servers
    of: hosts
    host: ["web*", "www*"]
    owner: web
"""
_NOTHING = "nothing"  # in place of a tag: there was no file when the form was opened


@dataclass(frozen=True, slots=True)
class Shown:
    """One rule on a page: of which list, what it asks, and what it says of that."""

    name: str
    what: str
    query: str
    says: str
    note: str


@dataclass(frozen=True, slots=True)
class File:
    """The file in force as its form has it. `base`: stands for what is written over."""

    text: str
    base: str
    version: int
    applied_by: str
    applied: str | None


@router.get("/rules")
async def rules(visit: Visiting, day: DayOf = TODAY) -> Response:
    """Show the rules in force, or that were; their file to who may write it."""
    return await _show(visit, day=day)


@router.post("/rules")
async def save(visit: Visiting) -> Response:
    """Try a file of rules and tell what it would do, or put it in force."""

    async def act(sent: Sent) -> Response:
        body = api.RulesBody.model_validate({"text": text_of(sent)})
        if sent.text("do") != "apply":
            tried = await api.trial(body, visit.store, visit.clock)
            return await _show(visit, sent, tried=tried)
        base = sent.text("base")
        await api.apply(
            body,
            visit.store,
            visit.clock,
            visit.principal,
            if_match="" if base == _NOTHING else f'"{base}"',
            if_none_match="*" if base == _NOTHING else "",
        )
        return led("/rules", "rules-applied")

    async def again(sent: Sent, mistake: Mistake) -> Response:
        # Mistakes in a file are told a line each.
        first, _, lines = mistake.detail.partition("\n")
        told = replace(mistake, detail=first, pointer=mistake.pointer or lines)
        return await _show(visit, sent, mistake=told)

    return await attempt(visit, act, again)


def text_of(sent: Sent) -> str:
    """Return the file as it was sent, with the line ends that files here have."""
    return "".join(
        each for each in sent.data.getlist("text")[-1:] if isinstance(each, str)
    ).replace("\r\n", "\n")


async def _show(
    visit: Visit,
    sent: Sent | None = None,
    *,
    tried: api.Tried | None = None,
    mistake: Mistake | None = None,
    day: Day = TODAY,
) -> Response:
    # To who sees in part, the file is not there; the rules of their teams are.
    whole = visit.principal.teams is None
    file = await _file(visit, day) if whole else None
    changed = mistake is not None and mistake.status is HTTPStatus.PRECONDITION_FAILED
    text, base = (file.text, file.base) if file else (_EXAMPLE, _NOTHING)
    if sent is not None:
        text, base = text_of(sent), base if changed else sent.text("base")
    return visit.page(
        "rules.html",
        mistake=mistake,
        tried=tried,
        changed=changed,
        file=file,
        text=text,
        base=base,
        in_force="\n".join(map(safe_text, file.text.splitlines())) if file else "",
        owners=await visit.store.run_read(partial(_owners, as_of_ms=day.as_of_ms)),
        others=_others(file.text, visit.now_ms) if file else [],
        most=MOST_CHARACTERS,
        may_write=whole and day == TODAY and visit.principal.may(Permission.RULES_WRITE),
        day=day.text,
    )


async def _file(visit: Visit, day: Day) -> File | None:
    try:
        found = await api.rules(visit.store, Response(), day)
    except ProblemError:
        return None
    text = "".join(f"{line}\n" for line in found.lines)
    return File(text, tag_of(found).strip('"'), found.version, found.applied_by, found.applied)


def _owners(connection: Connection, as_of_ms: int | None) -> list[Shown]:
    """Return the rules on owners, what wins first; also of a past day."""
    names = {each.number: each.name for each in list_teams(connection)}
    return [
        Shown(rule.name, rule.what, render(rule.query), names.get(rule.team_no, ""), rule.note)
        for rule in rules_in_force(connection, as_of_ms)
    ]


def _others(text: str, now_ms: int) -> list[tuple[str, Sequence[Shown]]]:
    """Return the rules on labels and on importance, as the file has them."""
    try:
        written = read_rules(text, now_ms).rules
    except UsageError:
        # What was taken once can be unreadable to a newer program; the form shows it.
        return []
    return [
        (title, [_shown(rule) for rule in written if rule.section == section])
        for section, title in (("labels", "Labels"), ("importance", "Importance"))
    ]


def _shown(rule: Written) -> Shown:
    says = ", ".join(rule.says.values())
    return Shown(rule.name, rule.what, render(rule.query), safe_text(says), safe_text(rule.note))
