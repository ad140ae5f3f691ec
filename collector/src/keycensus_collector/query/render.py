"""A tree as text again: what `parse` makes the same tree of. Pure."""

from __future__ import annotations

import re

from keycensus_collector.query.model import And, Node, Not, Or, Places, Query, Term, Word
from keycensus_collector.query.parse import is_one_word

_PLAIN_VALUE = re.compile(r"[^\s()\"'][^\s()\"]*")
_PLAIN_WORD = re.compile(r"[^\s()\"'<>=!:][^\s()\"]*")
_HEAD = re.compile(r"[A-Za-z][A-Za-z0-9._-]*(:|<|>|=|!=)")
_KEYWORDS = {"and", "or", "not"}


def render(query: Query) -> str:
    """Return a query as text."""
    parts = [_node(query.expression, inside=bool(query.as_of))] if query.expression else []
    if query.as_of:
        parts.append(f"as-of:{_value(query.as_of)}")
    return " ".join(parts)


def _node(node: Node, *, inside: bool = False) -> str:
    if isinstance(node, Term):
        return f"{node.field}{node.operator}{_quoted(node.value) if node.quoted else _value(node.value)}"
    if isinstance(node, Word):
        return _word(node.value)
    if isinstance(node, Places):
        return f"{'any' if node.exist else 'none'}({_node(node.inner)})"
    if isinstance(node, Not):
        return f"not {_node(node.inner, inside=True)}"
    if isinstance(node, And):
        text = " ".join(_node(part, inside=True) for part in node.parts)
    else:
        text = " or ".join(_node(part, inside=isinstance(part, Or)) for part in node.parts)
    return f"({text})" if inside else text


def _value(text: str) -> str:
    return text if _PLAIN_VALUE.fullmatch(text) else _quoted(text)


def _word(text: str) -> str:
    plain = is_one_word(text) or (_PLAIN_WORD.fullmatch(text) and not _HEAD.match(text))
    return text if plain and text.lower() not in _KEYWORDS else _quoted(text)


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
