"""A tree as JSON, with a version: what saved views keep, whatever becomes of the text's grammar.

Version 1: a node is a list whose first item says what it is. Read strictly: a database may be older,
or have been written by a newer program.
"""

from __future__ import annotations

import json
from typing import Any

from keycensus_collector.errors import UsageError
from keycensus_collector.query.model import (
    OPERATORS,
    And,
    Node,
    Not,
    Or,
    Places,
    Query,
    Term,
    Word,
)
from keycensus_collector.query.parse import MOST_DEPTH
from keycensus_collector.query.render import render

VERSION = 1


def dump(query: Query) -> str:
    """Return a query as JSON."""
    expression = None if query.expression is None else _plain(query.expression)
    return json.dumps({"version": VERSION, "as_of": query.as_of, "expression": expression})


def load(text: str) -> Query:
    """Return the query of `dump`; UsageError for anything else."""
    try:
        content = json.loads(text)
        if content["version"] != VERSION:
            raise UsageError(
                f"this query is stored in version {content['version']}, and this program knows "
                f"version {VERSION}: upgrade keycensus-collector"
            )
        expression = content["expression"]
        node = None if expression is None else _node(expression, 0)
        query = Query(node, _text(content["as_of"]))
    except (ValueError, TypeError, KeyError, IndexError, RecursionError) as error:
        raise UsageError("a stored query can't be read: save it again") from error
    return Query(query.expression, query.as_of, render(query))


def _plain(node: Node) -> list[Any]:
    if isinstance(node, Term):
        return ["term", node.field, node.operator, node.value, node.quoted]
    if isinstance(node, Word):
        return ["word", node.value]
    if isinstance(node, Not):
        return ["not", _plain(node.inner)]
    if isinstance(node, Places):
        return ["any" if node.exist else "none", _plain(node.inner)]
    return ["and" if isinstance(node, And) else "or", *map(_plain, node.parts)]


def _node(value: Any, depth: int) -> Node:  # noqa: ANN401 - JSON is any
    if depth > 2 * MOST_DEPTH:
        raise ValueError(depth)
    kind, *rest = value
    if kind == "term":
        field, operator, text, quoted = rest
        if operator not in OPERATORS:
            raise ValueError(operator)
        return Term(_text(field), operator, _text(text), quoted=bool(quoted))
    if kind == "word":
        (text,) = rest
        return Word(_text(text))
    inner = [_node(item, depth + 1) for item in rest]
    if kind in {"and", "or"} and len(inner) > 1:
        return And(tuple(inner)) if kind == "and" else Or(tuple(inner))
    if kind in {"any", "none", "not"} and len(inner) == 1:
        return Not(inner[0]) if kind == "not" else Places(kind == "any", inner[0])
    raise ValueError(kind)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(type(value))
    return value
