"""What a test means on a column, whatever the field is."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, Text, and_, not_

from keycensus_collector.query.conditions import (
    Choice,
    Hash,
    Known,
    Path,
    Range,
    Serial,
    Test,
    expected,
)
from keycensus_collector.query.conditions import Text as TextTest
from keycensus_collector.query.patterns import path_matches, text_matches


def matches(connection: Connection, column: ColumnElement[Any], test: Test) -> ColumnElement[bool]:
    """Return that a column is as a test says, in SQL for this connection."""
    if isinstance(test, Known):
        there = column != "" if isinstance(column.type, Text) else column.is_not(None)
        return there if test.known else not_(there)
    if isinstance(test, Choice):
        yes_or_no = test.value in {"yes", "no"}
        return column.is_(test.value == "yes") if yes_or_no else column == test.value
    if isinstance(test, Path):
        return path_matches(connection, column, test, indexed=False)
    if isinstance(test, TextTest):
        return text_matches(column, test)
    return _on_value(column, test)


def _on_value(column: ColumnElement[Any], test: Range | Hash | Serial) -> ColumnElement[bool]:
    if isinstance(test, Range):
        return in_range(column, test)
    if isinstance(test, Hash):
        return column.between(test.low, test.high)
    return column.in_(test.values)


def in_range(column: ColumnElement[Any], test: Range) -> ColumnElement[bool]:
    """Return that a number is in a range."""
    bounds: list[ColumnElement[bool]] = []
    if test.low is not None and test.high == test.low + 1:
        return column == test.low  # which an index with more columns is good for
    if test.low is not None:
        bounds.append(column >= test.low)
    if test.high is not None:
        bounds.append(column < test.high)
    return and_(*bounds)


def is_choice(condition: ColumnElement[bool], test: Test, positive: str) -> ColumnElement[bool]:
    """Return a condition, or its opposite unless the test is for the word `positive`."""
    return condition if expected(Choice, test).value == positive else not_(condition)
