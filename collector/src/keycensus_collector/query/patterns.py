"""What people type to match names and paths, as SQL conditions."""

from __future__ import annotations

import re
from string import ascii_uppercase
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, literal_column, or_
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import Text as SqlText

from keycensus_collector.query.conditions import Path, Text
from keycensus_collector.store.schema import PATH_START

_ESCAPE = "!"
_LAST = "\U0010ffff"
# The first of the numbers that are no characters, and the first character behind them.
_SURROGATES, _BEHIND_SURROGATES = 0xD800, 0xE000
# What `lower` of both databases knows of text in the order of its characters, and no more.
_LOWER = {ord(letter): letter.lower() for letter in ascii_uppercase}

Column = ColumnElement[Any]


class _InAnyCase(FunctionElement[str]):
    """What LIKE looks at, whose pattern is in lower case: SQLite's LIKE takes letters in any case by itself."""

    inherit_cache = True
    type = SqlText()


@compiles(_InAnyCase)
def _lower(element: _InAnyCase, compiler: SQLCompiler, **options: object) -> str:
    return f"lower({compiler.process(element.clauses, **options)})"


@compiles(_InAnyCase, "sqlite")
def _as_it_is(element: _InAnyCase, compiler: SQLCompiler, **options: object) -> str:
    return f"({compiler.process(element.clauses, **options)})"


def text_matches(column: Column, test: Text) -> ColumnElement[bool]:
    """Match a text column in any case."""
    pattern = _lowered(test.pattern)
    if test.how == "equal" or (test.how == "glob" and "*" not in pattern):
        return func.lower(column) == pattern
    like = _like(pattern) if test.how == "glob" else f"%{_like(pattern)}%"
    return _InAnyCase(column).like(like, escape=_ESCAPE)


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
    pattern = _lowered(test.pattern)
    like = f"% {_like(pattern) if test.how == 'glob' else _literally(pattern)} %"
    return spaced.like(like, escape=_ESCAPE)


def path_matches(
    connection: Connection, column: Column, test: Path, *, indexed: bool
) -> ColumnElement[bool]:
    """Match a path in its case. `indexed`: the column has the index of places' paths."""
    pattern = test.pattern
    start = _indexed_start(connection, column) if indexed else None
    if test.how == "part":
        return text_matches(column, Text(pattern, "part"))
    if test.how == "equal":
        return _equal(column, start, pattern)
    if test.how == "below":
        below = pattern.rstrip("/") + "/"
        # They stand apart in the index: "/etc/x-y" is between "/etc/x" and "/etc/x/y".
        under = _glob(connection, column, start, below + "*")
        return or_(_equal(column, start, pattern), under)
    condition = _glob(connection, column, start, re.sub(r"\*+", "*", pattern))
    stars = re.findall(r"\*+", pattern)
    if all(len(star) == 1 for star in stars):
        # No star has taken in a slash if there are no more of them than were asked for.
        slashes = func.length(column) - func.length(func.replace(column, "/", ""))
        condition = and_(condition, slashes == pattern.count("/"))
    elif any(len(star) == 1 for star in stars):
        condition = and_(condition, column.regexp_match(_expression(pattern)))
    return condition


def _indexed_start(connection: Connection, column: Column) -> Column:
    """Return the part of a path that is in its index: PostgreSQL's entries end at 2,700 bytes."""
    return column if connection.dialect.name == "sqlite" else func.left(column, PATH_START)


def _equal(column: Column, start: Column | None, pattern: str) -> ColumnElement[bool]:
    if start is None or start is column:
        return column == pattern
    return and_(start == pattern[:PATH_START], column == pattern)


def _near(start: Column | None, low: str, condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """Add to a condition the stretch of the index in which it can hold: what begins with `low`."""
    if start is None or low in {"", "/"}:
        return condition
    return and_(condition, *_stretch(start, low[:PATH_START]))


def _stretch(start: Column, low: str) -> list[ColumnElement[bool]]:
    """Return that a text begins with `low`, as the ends of where it can be in an index."""
    behind = _behind(low)
    return [start >= low, *([start < behind] if behind else [])]


def _behind(low: str) -> str:
    """Return what stands first behind all that begins with `low`, in the order of characters; empty if nothing does."""
    kept = low.rstrip(_LAST)
    if not kept:
        return ""
    following = ord(kept[-1]) + 1
    return kept[:-1] + chr(_BEHIND_SURROGATES if following == _SURROGATES else following)


def _expression(pattern: str) -> str:
    """Return a path with * and ** as a regular expression that SQLite's and PostgreSQL's agree on."""
    pieces = re.split(r"(\*+)", pattern)
    return "^" + "".join(map(_piece, pieces)) + "$"


def _piece(text: str) -> str:
    if text.startswith("*"):
        return "[^/]*" if len(text) == 1 else ".*"
    return re.sub(r"([^\w/ -])", r"\\\1", text)


def _glob(
    connection: Connection, column: Column, start: Column | None, pattern: str
) -> ColumnElement[bool]:
    """Match a pattern of which `*` stands for anything, in the stretch of the index where that can be."""
    low, _, rest = pattern.partition("*")
    if start is not None and low not in {"", "/"} and not rest and len(low) <= PATH_START:
        # All of the stretch. Said once: of what is said twice PostgreSQL expects a tenth of what there is.
        return and_(*_stretch(start, low))
    if connection.dialect.name == "sqlite":
        # Its LIKE ignores case, which paths do not.
        escaped = pattern.replace("[", "[[]").replace("?", "[?]")
        return _near(start, low, column.op("GLOB", is_comparison=True)(escaped))
    return _near(start, low, column.like(_like(pattern), escape=_ESCAPE))


def _lowered(pattern: str) -> str:
    return pattern.translate(_LOWER)


def _like(pattern: str) -> str:
    return _literally(pattern).replace("*", "%")


def _literally(pattern: str) -> str:
    for special in (_ESCAPE, "%", "_"):
        pattern = pattern.replace(special, _ESCAPE + special)
    return pattern
