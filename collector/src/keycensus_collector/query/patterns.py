"""What people type to match names and paths, as SQL conditions."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, literal, literal_column, or_

from keycensus_collector.query.conditions import Path, Text

_ESCAPE = "!"
_LAST = "\U0010ffff"

Column = ColumnElement[Any]


def text_matches(column: Column, test: Text) -> ColumnElement[bool]:
    """Match a text column in any case."""
    lowered, pattern = func.lower(column), test.pattern
    if test.how == "equal" or (test.how == "glob" and "*" not in pattern):
        return lowered == func.lower(literal(pattern))
    like = _like(pattern) if test.how == "glob" else f"%{_like(pattern)}%"
    return lowered.like(func.lower(literal(like)), escape=_ESCAPE)


def name_matches(column: Column, test: Text) -> ColumnElement[bool]:
    """Match a column of lower-case text, so that its index serves whole names."""
    pattern = test.pattern.lower()
    if test.how == "equal" or (test.how == "glob" and "*" not in pattern):
        return column == pattern
    like = _like(pattern) if test.how == "glob" else f"%{_like(pattern)}%"
    return column.like(like, escape=_ESCAPE)


def word_matches(column: Column, test: Text) -> ColumnElement[bool]:
    """Match one of the words of a column that holds several with blanks between."""
    spaced = func.lower(literal_column("' '").concat(column).concat(literal_column("' '")))
    like = f"% {_like(test.pattern) if test.how == 'glob' else _literally(test.pattern)} %"
    return spaced.like(func.lower(literal(like)), escape=_ESCAPE)


def path_matches(
    connection: Connection, column: Column, test: Path, *, indexed: bool
) -> ColumnElement[bool]:
    """Match a path in its case. `indexed`: the column has the index of places' paths."""
    pattern = test.pattern
    if test.how == "part":
        return text_matches(column, Text(pattern, "part"))
    if test.how == "equal":
        return column == pattern
    if test.how == "below":
        below = pattern.rstrip("/") + "/"
        # They stand apart in the index: "/etc/x-y" is between "/etc/x" and "/etc/x/y".
        exact = column == pattern
        under = _glob(connection, column, below + "*")
        return or_(exact, _near(connection, column, below, below + _LAST, under, indexed=indexed))
    condition = _glob(connection, column, re.sub(r"\*+", "*", pattern))
    stars = re.findall(r"\*+", pattern)
    if all(len(star) == 1 for star in stars):
        # No star has taken in a slash if there are no more of them than were asked for.
        slashes = func.length(column) - func.length(func.replace(column, "/", ""))
        condition = and_(condition, slashes == pattern.count("/"))
    elif any(len(star) == 1 for star in stars):
        condition = and_(condition, column.regexp_match(_expression(pattern)))
    start = pattern.partition("*")[0]
    return _near(connection, column, start, start + _LAST, condition, indexed=indexed)


def _near(
    connection: Connection,
    column: Column,
    low: str,
    high: str,
    condition: ColumnElement[bool],
    *,
    indexed: bool,
) -> ColumnElement[bool]:
    """Add to a condition the stretch of the index in which it can hold."""
    # Other products compare text by the rules of a language; there LIKE has an index of its own.
    if not indexed or low in {"", "/"} or connection.dialect.name != "sqlite":
        return condition
    return and_(condition, column >= low, column <= high)


def _expression(pattern: str) -> str:
    """Return a path with * and ** as a regular expression that SQLite's and PostgreSQL's agree on."""
    pieces = re.split(r"(\*+)", pattern)
    return "^" + "".join(map(_piece, pieces)) + "$"


def _piece(text: str) -> str:
    if text.startswith("*"):
        return "[^/]*" if len(text) == 1 else ".*"
    return re.sub(r"([^\w/ -])", r"\\\1", text)


def _glob(connection: Connection, column: Column, pattern: str) -> ColumnElement[bool]:
    if connection.dialect.name != "sqlite":
        return column.like(_like(pattern), escape=_ESCAPE)
    # SQLite's LIKE ignores case, which paths do not.
    escaped = pattern.replace("[", "[[]").replace("?", "[?]")
    return column.op("GLOB", is_comparison=True)(escaped)


def _like(pattern: str) -> str:
    return _literally(pattern).replace("*", "%")


def _literally(pattern: str) -> str:
    for special in (_ESCAPE, "%", "_"):
        pattern = pattern.replace(special, _ESCAPE + special)
    return pattern
