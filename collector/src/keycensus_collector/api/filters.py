"""Parameters of lists as conditions of a query: there is one way in which things are found.

A parameter that is not given is no condition. Text is quoted, so that it is text and never a keyword.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from keycensus_collector.errors import UsageError
from keycensus_collector.query.bind import MOST_IN_A_VALUE
from keycensus_collector.query.model import Node, Not, Or, Places, Query, Term, Word, both

_LIVE = Term("use", ":", "live")
_RETAINED = Term("use", ":", "retained")
_ANY_USE = Term("use", ":", "any")
_ANY_ROLE = Term("role", ":", "any")
_OUTSIDE = Not(Term("role", "=", "trust-store"))


def narrowed(query: Query, nodes: Sequence[Node]) -> Query:
    """Return a query for which all nodes hold besides, of one and the same place."""
    return replace(query, expression=both(query.expression, *nodes))


def text(field: str, value: str, operator: str = ":") -> list[Node]:
    """Return that a field has this text, as its kind compares text."""
    return [Term(field, operator, value, quoted=True)] if value else []


def word(field: str, value: str | int | None) -> list[Node]:
    """Return that a field is so; the parameter has been checked."""
    return [Term(field, ":", str(value))] if value else []


def choice(field: str, value: bool | None) -> list[Node]:  # noqa: FBT001 - what was asked for
    """Return that a field is yes or no."""
    return [] if value is None else [Term(field, ":", "yes" if value else "no")]


def part_of_name(value: str) -> list[Node]:
    """Return that the name of a host has this part."""
    return [Word(value)] if value else []


def path(value: str) -> list[Node]:
    """Return that something is at a path or below it; `*` also stands for slashes here."""
    pattern = re.sub(r"\*+", "**", value)
    if len(pattern) > MOST_IN_A_VALUE:
        raise UsageError(f"path: fewer stars, please: each counts twice, of {MOST_IN_A_VALUE:,}")
    return text("path", pattern)


def expiry(within: str | None, *, expired: bool | None) -> list[Node]:
    """Return that the end is within this time from now, and behind it or not; without `expired`: not."""
    nodes: list[Node] = [Term("expires", "<", within)] if within else []
    if expired is not None or within:
        nodes.append(Term("expires", "<" if expired else ">=", "0d"))
    return nodes


def status_of_certificates(status: str, *, trust_stores: bool, at_a_place: bool) -> list[Node]:
    """Return what a status means: empty leaves it to the language, which means those in use.

    `at_a_place`: a place is asked for besides, so that what stands nowhere can't be meant.
    """
    roles: list[Node] = [_ANY_ROLE] if trust_stores else []
    somewhere = Term("found", ":", "any")
    if status == "gone":
        return [Term("found", ":", "gone")]
    if status == "retained":
        at: list[Node] = roles or [_OUTSIDE]
        return [somewhere, _RETAINED, Places(exist=False, inner=_LIVE), *at]
    if status != "any":
        return [_LIVE, *roles] if status else roles
    if trust_stores:
        return [somewhere]
    outside = both(_ANY_USE, _OUTSIDE)
    if at_a_place or outside is None:
        return [somewhere, _ANY_USE, _OUTSIDE]
    return [Or((Term("found", ":", "gone"), outside))]


def status_of_keys(status: str) -> list[Node]:
    """Return what a status means of keys; those that stand nowhere are in no list."""
    if status == "retained":
        return [_RETAINED, Places(exist=False, inner=_LIVE)]
    return [_LIVE if status == "live" else _ANY_USE]
