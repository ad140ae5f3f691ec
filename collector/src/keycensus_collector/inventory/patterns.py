"""What people type to match names and paths, as SQL conditions. `*` stands for anything."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, func, or_

_ESCAPE = "!"


def _like(pattern: str) -> str:
    for special in (_ESCAPE, "%", "_"):
        pattern = pattern.replace(special, _ESCAPE + special)
    return pattern.replace("*", "%")


def matches_name(column: ColumnElement[str], pattern: str) -> ColumnElement[bool]:
    """Match a column of lower-case text against a whole name, in any case, with wildcards."""
    lowered = pattern.lower()
    if "*" not in lowered:
        return column == lowered
    return column.like(_like(lowered), escape=_ESCAPE)


def contains(column: ColumnElement[str], pattern: str) -> ColumnElement[bool]:
    """Match where `pattern` stands anywhere in the column, in any case, with wildcards."""
    return func.lower(column).like(f"%{_like(pattern.lower())}%", escape=_ESCAPE)


def matches_path(
    connection: Connection, column: ColumnElement[str], pattern: str
) -> ColumnElement[bool]:
    """Match a path: exactly, or everything under a directory, or with `*` (also across `/`)."""
    if "*" not in pattern:
        directory = pattern.rstrip("/") + "/*"
        return or_(column == pattern, _glob(connection, column, directory))
    return _glob(connection, column, pattern)


def _glob(connection: Connection, column: ColumnElement[str], pattern: str) -> ColumnElement[bool]:
    if connection.dialect.name != "sqlite":
        return column.like(_like(pattern), escape=_ESCAPE)
    # SQLite's LIKE ignores case, which paths do not.
    escaped = pattern.replace("[", "[[]").replace("?", "[?]")
    return column.op("GLOB", is_comparison=True)(escaped)
