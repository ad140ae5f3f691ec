"""What can stand at a place of a query: fields, operators, values. Pure; for web and shells."""

from __future__ import annotations

import re
from dataclasses import dataclass

from keycensus_collector.query.fields import BY_NAME, FIELDS, OPERATORS_OF, Kind

# What is being typed: behind the last blank or bracket that stands in no quotes.
_LAST = re.compile(r"""(?:[^\s()"']|"[^"]*"?|'[^']*'?)*\Z""")
_TYPED = re.compile(
    r"""(?P<field>[A-Za-z][A-Za-z0-9._-]*)(?P<operator>:|!=|<=|>=|<|>|=)(?P<value>.*)""", re.DOTALL
)
_WORDS = (("and", "both hold"), ("or", "one holds"), ("not", "does not hold"))
_PLACES = (("any(", "some place, another one"), ("none(", "no place"))


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A text that can replace what is typed, and what it means."""

    text: str
    help: str


@dataclass(frozen=True, slots=True)
class Completion:
    """Suggestions for the part of the query from `start`, `length` characters long."""

    start: int
    length: int
    suggestions: list[Suggestion]


def complete(target: str, text: str, position: int) -> Completion:
    """Return what can stand at `position` of a query for the list `target`."""
    before = text[: max(0, position)]
    match = _LAST.search(before)
    typed = match[0] if match else ""
    start = len(before) - len(typed)
    return Completion(start, len(typed), _suggestions(target, typed))


def _suggestions(target: str, typed: str) -> list[Suggestion]:
    parts = _TYPED.fullmatch(typed)
    if parts is None:
        return _fields(target, typed.lower())
    name = "label" if parts["field"].lower().startswith("label.") else parts["field"].lower()
    field = BY_NAME.get(name)
    if field is None or target not in field.lists():
        return []
    head, value = parts["field"] + parts["operator"], parts["value"].lower()
    known = list(field.values)
    if field.nullable:
        known += [word for word in ("none", "any") if word not in known]
    return [
        Suggestion(head + each, field.help)
        for each in known
        if each.lower().startswith(value) and each[0] not in "<>"
    ]


def _fields(target: str, typed: str) -> list[Suggestion]:
    found = []
    for field in FIELDS:
        if target not in field.lists():
            continue
        name = "label." if field.name == "label" else field.name
        ending = "" if field.name == "label" else OPERATORS_OF[field.kind][0]
        if field.kind in {Kind.UNTIL, Kind.SINCE}:
            ending = "<"
        if any(each.startswith(typed) for each in (name, *field.aliases)):
            found.append(Suggestion(name + ending, field.help))
    words = (*_WORDS, *_PLACES, ("as-of:", "as it was known on a past day"))
    return found + [Suggestion(word, help_) for word, help_ in words if word.startswith(typed)]
