"""What `apply` would do, thing by thing, as people read it. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import yaml

from keycensus_client.as_code.layout import RULES, things
from keycensus_client.declared import Declared, DeclaredOutcome

_ENDED = {"dissolved", "left"}


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to create, change or delete, with what it is before and after; or one that is kept."""

    what: Literal["create", "change", "delete", "keep"]
    name: str
    before: dict[str, Any]
    after: dict[str, Any]


def plan(outcome: DeclaredOutcome, named: Collection[str]) -> list[Step]:
    """Return how what is declared would change. `named`: what has a file, as `teams/web`."""
    before, after = _all(outcome.before), _all(outcome.after)
    steps = [Step("keep", name, {}, {}) for name in outcome.kept]
    for name in sorted({**before, **after}):
        old, new = before.get(name, {}), after.get(name, {})
        ends = name not in after or (_has_ended(new) and not _has_ended(old) and name not in named)
        if old != new or (name in before) != (name in after):
            what: Literal["create", "change", "delete", "keep"] = (
                "create" if name not in before else "delete" if ends else "change"
            )
            steps.append(Step(what, name, old, {} if ends else new))
    return steps


def _all(declared: Declared) -> dict[str, dict[str, Any]]:
    found = {_shown(name, members): members for name, members in things(declared).items()}
    if declared.fallback:
        found["fallback"] = {"team": declared.fallback}
    if declared.rules:
        found["rules"] = {RULES: declared.rules}
    return found


def _shown(place: str, members: dict[str, Any]) -> str:
    """Return a thing's name as people know it: a host's is not that of its file."""
    return f"labels/hosts/{members['host']}" if "host" in members else place


def _has_ended(members: dict[str, Any]) -> bool:
    return members.get("status") in _ENDED


_SIGNS = {"create": "+", "change": "~", "delete": "-", "keep": "="}
_KEPT = ": in no file; --prune deletes it"


def shown(steps: list[Step], outcome: DeclaredOutcome) -> Iterator[str]:
    """Yield the lines that tell a plan."""
    for step in steps:
        yield f"{_SIGNS[step.what]} {step.name}{_KEPT if step.what == 'keep' else ''}"
        if step.what != "keep":
            yield from _members(step)
    yield from (f"! {moved}" for moved in outcome.moved)
    yield from (f"? {absent}: not in this inventory" for absent in outcome.absent)


def _members(step: Step) -> Iterator[str]:
    for name in {**step.before, **step.after}:
        old, new = step.before.get(name), step.after.get(name)
        if old == new:
            continue
        if name == RULES:
            yield from _lines(old or [], new or [])
            continue
        yield from ([f"    - {name}: {_value(old)}"] if name in step.before else [])
        yield from ([f"    + {name}: {_value(new)}"] if name in step.after else [])


def _lines(old: list[str], new: list[str]) -> Iterator[str]:
    for line in list(difflib.unified_diff(old, new, lineterm="", n=2))[2:]:
        yield f"    {line}"


def _value(value: object) -> str:
    text: str = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10_000)
    return text.removesuffix("\n").removesuffix("\n...")


def summary(steps: list[Step], absent: int) -> str:
    """Return how much there is to do, in a line."""
    words = {"create": "to create", "change": "to change", "delete": "to delete"}
    counts = [
        f"{number} {text}"
        for what, text in words.items()
        if (number := sum(step.what == what for step in steps))
    ]
    told = ", ".join(counts) or "nothing to do"
    return told + (f"; {absent} not in this inventory" if absent else "")
