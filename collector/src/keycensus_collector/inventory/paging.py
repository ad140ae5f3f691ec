"""Pages by key, not by number: the next page starts behind the last row, whatever came meanwhile."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, func, select
from sqlalchemy.sql.selectable import CompoundSelect

from keycensus_collector.errors import UsageError
from keycensus_collector.query.compile import COUNTED

# Counted exactly up to here at most; beyond, "10,000+" and exactly on demand.
EXACT_TOTAL = COUNTED
PAGE_LIMIT = 1_000
DEFAULT_LIMIT = 100
# Databases have integers of eight bytes; a longer one is an error of the driver, not an answer.
BIGGEST_INTEGER = 2**63 - 1

Key = list[str | int | None]


def encode_cursor(key: Key) -> str:
    """Return the key of a page's last row as text that means nothing to anybody else."""
    return (
        base64.urlsafe_b64encode(json.dumps(key, ensure_ascii=False).encode()).decode().rstrip("=")
    )


def decode_cursor(cursor: str, length: int) -> Key:
    """Return the key in a cursor; UsageError if it is none of ours."""
    try:
        key = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        key = None
    if not isinstance(key, list) or len(key) != length or not all(map(_is_value, key)):
        raise UsageError("the cursor is not one that this collector gave; start without one")
    return key


def _is_value(value: object) -> bool:
    """Return whether a database takes this as the value of a text, a number, or none."""
    if isinstance(value, int):
        return abs(value) <= BIGGEST_INTEGER
    if isinstance(value, str):
        return value.encode(errors="replace").decode() == value  # no lone surrogates
    return value is None


def hash_in(value: str | int | None) -> bytes:
    """Return a hash that stands in a cursor in hexadecimal; UsageError as `decode_cursor`."""
    try:
        return bytes.fromhex(str(value))
    except ValueError:
        raise UsageError("the cursor is damaged; start without one") from None


def first_page(
    connection: Connection,
    found: Select[*tuple[Any, ...]],
    order: Sequence[str],
    limit: int,
    most: int,
    *,
    descending: bool = False,
    lacking: str | None = None,
) -> tuple[int, bool, Sequence[Row[Any]] | None]:
    """Return how many rows a statement has, to `most`, whether that is exact, and the first rows by `order`.

    Rows in which the column `lacking` is null come last.

    What is costly to find is found once for both. None instead of rows: there are too many to count,
    so the first ones are soon found in the order of an index.
    """
    counted = found.order_by(None).limit(most + 1).subquery()
    total = func.count().over().label("counted_rows")
    by = [counted.c[name].desc() if descending else counted.c[name] for name in order]
    last = [] if lacking is None else [counted.c[lacking].is_(None)]
    rows = connection.execute(select(counted, total).order_by(*last, *by).limit(limit)).all()
    number = rows[0].counted_rows if rows else 0
    return (number, True, rows) if number <= most else (most, False, None)


def count_up_to(
    connection: Connection,
    statement: Select[*tuple[object, ...]] | CompoundSelect[object],
    most: int = EXACT_TOTAL,
    *,
    exactly: bool = False,
) -> tuple[int, bool]:
    """Return how many rows a statement has, to `most`, and whether that is exact; `exactly`: whatever it costs."""
    limited = statement.order_by(None).limit(None if exactly else most + 1).subquery()
    total = connection.execute(select(func.count()).select_from(limited)).scalar_one()
    return (total, True) if exactly else (min(total, most), total <= most)
