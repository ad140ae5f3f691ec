"""Rules: the file in force, a trial of another one, and putting it in force."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection

from keycensus_collector.api.conditional import (
    IfMatch,
    IfNoneMatch,
    check_preconditions,
    tag_of,
)
from keycensus_collector.api.days import TODAY, Day, DayOf
from keycensus_collector.api.problems import ProblemError
from keycensus_collector.api.security import AUTHENTICATED, ClockOf, CurrentPrincipal, StoreOf
from keycensus_collector.inventory.values import time_text
from keycensus_collector.ownership.applying import apply_rules, try_rules
from keycensus_collector.ownership.rule_file import rules_text
from keycensus_collector.ownership.rule_text import MOST_CHARACTERS

router = APIRouter(prefix="/api/v1", dependencies=AUTHENTICATED, tags=["ownership"])


@dataclass(frozen=True, slots=True)
class RuleFile:
    """The file of rules in force, line by line."""

    version: int
    applied_by: str
    applied: str | None
    lines: list[str]


@dataclass(frozen=True, slots=True)
class Applied:
    """What was put in force. Owners follow within seconds, of very many things within minutes."""

    version: int
    begun: int
    ended: int


@dataclass(frozen=True, slots=True)
class TriedRule:
    """What one rule would do: how many things it decides about, and how many it would change."""

    rule: str
    decides: int
    changes: int


@dataclass(frozen=True, slots=True)
class Tried:
    """What rules would do. `complete`: everything was looked at before the time was up.

    `by_rule`: each rule on owners, what wins first.
    """

    rules: int
    assigned: int
    changed: int
    ended: int
    conflicts: int
    kept_by_hand: int
    complete: bool
    samples: list[str]
    conflict_samples: list[str]
    by_rule: list[TriedRule]


class RulesBody(BaseModel):
    """A whole file of rules, as YAML."""

    model_config = ConfigDict(extra="forbid")

    text: Annotated[str, Field(max_length=MOST_CHARACTERS)]


@router.get("/rules", summary="The rules in force")
async def rules(store: StoreOf, response: Response, day: DayOf = TODAY) -> RuleFile:
    """Return the file of rules that was applied last, with its version; or was in force on a past day."""
    found = await store.run_read(partial(_in_force, day=day))
    if found is None:
        said = "no rules were ever applied" if day == TODAY else f"at {day.text} none were in force"
        raise ProblemError(
            HTTPStatus.NOT_FOUND,
            "not-found",
            f"{said}: PUT /rules, or keycensus rules apply FILE",
        )
    response.headers["ETag"] = tag_of(found)
    return found


@router.post("/rules/trial", summary="Say what rules would do")
async def trial(body: RulesBody, store: StoreOf, clock: ClockOf) -> Tried:
    """Try rules on everything there is, for at most 20 seconds, and change nothing."""
    tried = await store.run_read(partial(try_rules, text=body.text, now_ms=clock.now_ms()))
    return Tried(
        rules=tried.rules,
        assigned=tried.assigned,
        changed=tried.changed,
        ended=tried.ended,
        conflicts=tried.conflicts,
        kept_by_hand=tried.kept_by_hand,
        complete=tried.complete,
        samples=tried.samples,
        conflict_samples=tried.conflict_samples,
        by_rule=[
            TriedRule(name, each.decides, each.changes) for name, each in tried.by_rule.items()
        ],
    )


@router.put("/rules", summary="Put rules in force")
async def apply(  # noqa: PLR0917 - each is a part of the request
    body: RulesBody,
    store: StoreOf,
    clock: ClockOf,
    principal: CurrentPrincipal,
    if_match: IfMatch = "",
    if_none_match: IfNoneMatch = "",
) -> Applied:
    """Put these rules in force instead of those before; all mistakes are told together."""

    def work(connection: Connection) -> tuple[int, int, int]:
        if if_match or if_none_match:
            found = _in_force(connection)
            current = None if found is None else tag_of(found)
            check_preconditions(current, if_match=if_match, if_none_match=if_none_match)
        return apply_rules(connection, text=body.text, actor=principal.actor, now_ms=clock.now_ms())

    return Applied(*await store.run_write(work))


def _in_force(connection: Connection, day: Day = TODAY) -> RuleFile | None:
    found = rules_text(connection, day.as_of_ms)
    if found is None:
        return None
    version, text, applied_by, applied_ms = found
    return RuleFile(version, applied_by, time_text(applied_ms), text.splitlines())
