"""What `apply` would do, step by step, as people read it. Pure but for what a step does when it is taken."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import yaml


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to create, change or delete, with what it is before and after; or one that is kept."""

    what: Literal["create", "change", "delete", "keep"]
    kind: str
    name: str
    before: dict[str, Any]
    after: dict[str, Any]
    take: Callable[[], None]


_SIGNS = {"create": "+", "change": "~", "delete": "-", "keep": "="}


def shown(steps: list[Step]) -> Iterator[str]:
    """Yield the lines that tell a plan."""
    for step in steps:
        yield f"{_SIGNS[step.what]} {step.kind} {step.name}{_KEPT if step.what == 'keep' else ''}"
        if step.what != "keep":
            yield from _members(step)


_KEPT = ": in no file; --prune deletes it"


def _members(step: Step) -> Iterator[str]:
    for name in {**step.before, **step.after}:
        old, new = step.before.get(name), step.after.get(name)
        if old != new:
            yield from ([f"    - {name}: {_value(old)}"] if name in step.before else [])
            yield from ([f"    + {name}: {_value(new)}"] if name in step.after else [])


def _value(value: object) -> str:
    text: str = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10_000)
    return text.removesuffix("\n").removesuffix("\n...")


def summary(steps: list[Step]) -> str:
    """Return how much there is to do, in a line."""
    words = {"create": "to create", "change": "to change", "delete": "to delete"}
    counts = [
        f"{number} {text}"
        for what, text in words.items()
        if (number := sum(step.what == what for step in steps))
    ]
    return ", ".join(counts) or "nothing to do"
