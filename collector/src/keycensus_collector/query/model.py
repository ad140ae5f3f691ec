"""What a query says, as plain frozen data: no position in a database, no product's SQL.

The tree is what saved views keep (`stored`), what every face hands over, and what `render` writes
as text again. Where a word stood in its text is carried along for errors and is no part of equality.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

# Where something stands in the text: first character, and how many.
Span = tuple[int, int]
NOWHERE: Span = (0, 0)

OPERATORS = (":", "=", "<", "<=", ">", ">=")


@dataclass(frozen=True, slots=True)
class Term:
    """`field operator value`, as written. `quoted`: the value is text and never a keyword."""

    field: str
    operator: str
    value: str
    quoted: bool = False
    span: Span = dataclasses.field(default=NOWHERE, compare=False)
    value_span: Span = dataclasses.field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class Word:
    """A word without a field: looked for in what a thing is called."""

    value: str
    span: Span = dataclasses.field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class Not:
    """What is inside does not hold."""

    inner: Node


@dataclass(frozen=True, slots=True)
class And:
    """All of them hold, for one and the same place."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one of them holds."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Places:
    """`any(…)`: some place, not the one of the rest, is so; `none(…)`: no place at all is."""

    exist: bool
    inner: Node
    span: Span = dataclasses.field(default=NOWHERE, compare=False)


Node = Term | Word | Not | And | Or | Places


@dataclass(frozen=True, slots=True)
class Query:
    """A whole query. Without an expression, everything; `as_of` is a date or time as written."""

    expression: Node | None = None
    as_of: str = ""
    text: str = dataclasses.field(default="", compare=False)
    as_of_span: Span = dataclasses.field(default=NOWHERE, compare=False)
    # The user who asks, for `mine`; empty: nobody, whose nothing is.
    asker: str = dataclasses.field(default="", compare=False)


EVERYTHING = Query()


def terms(query: Query) -> Iterator[Term]:
    """Yield the conditions of a query on fields."""
    nodes = [] if query.expression is None else [query.expression]
    while nodes:
        node = nodes.pop()
        if isinstance(node, Term):
            yield node
        elif isinstance(node, Not | Places):
            nodes.append(node.inner)
        elif isinstance(node, And | Or):
            nodes += node.parts


def is_about_the_asker(query: Query) -> bool:
    """Whether a query may list something else for somebody else: `owner:mine`."""
    return any(not term.quoted and term.value.lower() == "mine" for term in terms(query))


def negated(node: Node) -> Node:
    """Return the opposite; twice is the thing itself."""
    return node.inner if isinstance(node, Not) else Not(node)


def both(*nodes: Node | None) -> Node | None:
    """Return all that are there, joined by and; None if none is."""
    return joined(And, [node for node in nodes if node is not None])


def joined(kind: type[And | Or], nodes: list[Node]) -> Node | None:
    """Return nodes as one, with those of the same kind in one level."""
    parts: list[Node] = []
    for node in nodes:
        parts += node.parts if isinstance(node, kind) else [node]
    return kind(tuple(parts)) if len(parts) > 1 else (parts[0] if parts else None)
