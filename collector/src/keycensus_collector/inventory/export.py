"""Whole lists for scripts and spreadsheets, page by page: NDJSON, CSV or one JSON document of what a list shows."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

from keycensus_collector.errors import UsageError
from keycensus_collector.inventory import results

FORMATS = ("ndjson", "csv", "json")
_ITEMS: dict[str, type[Any]] = {
    "certificates": results.Certificate,
    "keys": results.Key,
    "places": results.Place,
    "hosts": results.Host,
    "gaps": results.HostGap,
}
# In a cell there is no room for what has columns of its own; NDJSON has it.
_NESTED = frozenset({"places", "labels"})
# What a spreadsheet takes for a formula when it starts a cell (CWE-1236).
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def columns_of(target: str, wanted: str, format_: str) -> list[str]:
    """Return the columns that are asked for, by commas, or all; UsageError for one that is not there."""
    known = [field.name for field in fields(_ITEMS[target])]
    if not wanted:
        return [name for name in known if format_ != "csv" or name not in _NESTED]
    columns = [name.strip() for name in wanted.split(",")]
    unknown = [name for name in columns if name not in known]
    if unknown:
        raise UsageError(f"{target} have no {unknown[0]!r}, but {', '.join(known)}")
    return columns


def head(columns: Sequence[str], format_: str) -> str:
    """Return what stands before the first item."""
    if format_ == "json":
        return '{"items": ['
    return _row(columns) if format_ == "csv" else ""


def end(items: int, format_: str) -> str:
    """Return the last line: that this is all, and how many items it is. A file without it was cut short."""
    if format_ == "csv":
        return _row(["# end", str(items)])
    if format_ == "json":
        return f'\n], "total": {items}}}\n'
    return json.dumps({"end": True, "items": items}) + "\n"


def lines(items: Sequence[Any], columns: Sequence[str], format_: str, before: int) -> str:
    """Return items as text, a line each. `before`: how many came already."""
    if format_ == "csv":
        return "".join(_row([_cell(getattr(item, name)) for name in columns]) for item in items)
    plain = (asdict(item) for item in items)
    texts = [
        json.dumps({name: item[name] for name in columns}, ensure_ascii=False) for item in plain
    ]
    if format_ == "json":
        return "".join(
            f"{',' if number else ''}\n{text}" for number, text in enumerate(texts, before)
        )
    return "".join(f"{text}\n" for text in texts)


def _row(cells: Sequence[str]) -> str:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n").writerow(cells)
    return text.getvalue()


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, results.Place):
        return f"{value.host}:{value.path}"
    if isinstance(value, list):
        return _guarded(" ".join(map(_cell, value)))
    return _guarded(str(value))


def _guarded(text: str) -> str:
    return "'" + text if text.startswith(_FORMULA_STARTS) else text
