"""Postfix's parameters: logical lines of main.cf, and values with other parameters in them.

Source: postconf(5) ("The general format of the main.cf file"), master(5).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_NESTED_LIMIT = 20
_VALUE_LIMIT = 4096
_PARAMETERS_LIMIT = 2_000
_CONDITION = re.compile(r"\s*(\w+)\s*([?:]?)")
_SIMPLE = re.compile(r"\$(\w+)")
_CLOSING = {"{": "}", "(": ")"}


@dataclass(frozen=True, slots=True)
class Parameter:
    """What a parameter is set to, and where that stands."""

    value: str
    path: str
    line: int


def logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield lines with the number of their first; one that starts with white space continues the last."""
    pieces: list[str] = []
    start = 0
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line[0] in " \t" and pieces:
            pieces.append(line.strip())
            continue
        if pieces:
            yield start, " ".join(pieces)
        pieces, start = [line.strip()], number
    if pieces:
        yield start, " ".join(pieces)


def parameters(path: str, text: str) -> dict[str, Parameter]:
    """Return what a main.cf sets; the last one counts."""
    found = {}
    for number, line in logical_lines(text):
        name, equals, value = line.partition("=")
        if equals:
            found[name.strip()] = Parameter(value.strip(), path, number)
    return found


def expanded(value: str, known: Mapping[str, Parameter]) -> str:
    """Put parameters in: $name, ${name}, $(name), ${name?text}, ${name:text}; what is unset is empty."""
    return _Expansion(known).of(value) if "$" in value else value


class _Expansion:
    def __init__(self, known: Mapping[str, Parameter]) -> None:
        self._known = known
        # Parameters that name two others each, which name two others each, would be put in for ever.
        self._left = _PARAMETERS_LIMIT

    def of(self, value: str, depth: int = 0) -> str:
        if "$" not in value or depth > _NESTED_LIMIT:
            return value
        pieces: list[str] = []
        position = 0
        while position < len(value) and self._left > 0:
            dollar = value.find("$", position)
            if dollar < 0:
                dollar = len(value)
            pieces.append(value[position:dollar])
            text, position = self._one(value, dollar, depth)
            pieces.append(text)
            self._left -= 1 + len(text) // _VALUE_LIMIT
        return "".join(pieces)[:_VALUE_LIMIT]

    def _one(self, value: str, dollar: int, depth: int) -> tuple[str, int]:
        """Return what stands for the parameter at a dollar sign, and where to go on."""
        following = value[dollar + 1 : dollar + 2]
        if following == "$":
            return "$", dollar + 2
        if following in _CLOSING:
            end = _end(value, dollar + 1, following)
            return self._conditional(value[dollar + 2 : end - 1], depth), end
        name = _SIMPLE.match(value, dollar)
        if name is None:
            return value[dollar : dollar + 1], dollar + 1
        return self._value_of(name[1], depth), name.end()

    def _conditional(self, inside: str, depth: int) -> str:
        name = _CONDITION.match(inside)
        if name is None:
            return ""
        sign, rest = name[2], inside[name.end() :].strip()
        value = self._value_of(name[1], depth)
        if not sign:
            return value
        then, otherwise = rest, ""
        if rest.startswith("{"):
            end = _end(rest, 0, "{")
            then = rest[1 : end - 1].strip()
            otherwise = rest[end:].strip().removeprefix(":").strip()
            if otherwise.startswith("{"):
                otherwise = otherwise[1:].removesuffix("}").strip()
        chosen = (then if value else otherwise) if sign == "?" else ("" if value else then)
        return self.of(chosen, depth + 1)

    def _value_of(self, name: str, depth: int) -> str:
        found = self._known.get(name)
        return self.of(found.value, depth + 1) if found else ""


def _end(value: str, start: int, opening: str) -> int:
    depth = 0
    for position in range(start, len(value)):
        if value[position] == opening:
            depth += 1
        elif value[position] == _CLOSING[opening]:
            depth -= 1
            if depth == 0:
                return position + 1
    return len(value) + 1
