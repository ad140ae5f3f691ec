"""A query after checking: fields found, values parsed, negations pushed down to single conditions.

A condition about a thing that is not there, or about a value that is not known, does not hold, and
neither does its opposite. So `not` on a field of places means that the same place is not so.
"""

from __future__ import annotations

from dataclasses import dataclass

from keycensus_collector.query.conditions import Test
from keycensus_collector.query.fields import OWN, Field, Level


@dataclass(frozen=True, slots=True)
class Literal:
    """One condition on one field, or its opposite. `label`: the key of a label."""

    field: Field
    test: Test
    negated: bool = False
    label: str = ""


@dataclass(frozen=True, slots=True)
class All:
    """All hold. Without parts: true."""

    parts: tuple[Bound, ...]


@dataclass(frozen=True, slots=True)
class Some:
    """At least one holds. Without parts: false."""

    parts: tuple[Bound, ...]


@dataclass(frozen=True, slots=True)
class Exists:
    """Some place of the thing is so, or none is; another place than that of the rest."""

    exist: bool
    inner: Bound


Bound = Literal | All | Some | Exists

EVERYTHING = All(())


@dataclass(frozen=True, slots=True)
class Bindings:
    """A checked query for one list. `as_of_ms`: the past moment that it is about, or None: now."""

    target: str
    condition: Bound
    now_ms: int
    as_of_ms: int | None = None
    asker: str = ""


def is_own(node: Bound, target: str) -> bool:
    """Whether it is only about what the list is of, and about no single place."""
    if isinstance(node, Literal):
        return not own_levels(node.field, target).isdisjoint(node.field.levels)
    if isinstance(node, Exists):
        return True
    return all(is_own(part, target) for part in node.parts)


def is_of_place(node: Bound, target: str) -> bool:
    """Whether every condition in it is about the place."""
    if isinstance(node, Literal):
        return own_levels(node.field, target).isdisjoint(node.field.levels)
    if isinstance(node, Exists):
        return False
    return all(is_of_place(part, target) for part in node.parts)


def own_levels(field: Field, target: str) -> frozenset[Level]:
    """Return the levels of a field that the list itself is of; of place or gap and host, not the host."""
    levels = OWN[target] & frozenset(field.levels)
    return levels - {Level.HOST} if levels & {Level.PLACE, Level.GAP} else levels
