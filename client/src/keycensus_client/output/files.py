"""CSV and JSON for scripts and spreadsheets."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, fields, is_dataclass
from typing import Any

import click

# What a spreadsheet takes for a formula or a command when it starts a cell (CWE-1236).
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def print_json(value: object) -> None:
    """Print a value, dataclasses as objects."""
    content = [_plain(item) for item in value] if isinstance(value, list) else _plain(value)
    json.dump(content, sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")


def _plain(value: object) -> object:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


def print_items(
    output: str,
    items: Sequence[object],
    type_: type[Any],
    none: str,
    table: Callable[[], object],
    *,
    without: Sequence[str] = (),
) -> None:
    """Print a list as `output` says: "json", "csv" with the fields of `type_`, or by `table`.

    `none`: what people are told where there is nothing; `without`: fields that a cell can't hold.
    """
    if output == "json":
        print_json(list(items))
    elif output == "csv":
        titles = field_titles(type_, without=without)
        print_csv(titles, (field_values(item, titles) for item in items))
    elif not items:
        click.echo(none)
    else:
        table()


def print_csv(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows with a head; every cell quoted, and none that a spreadsheet would run."""
    writer = csv.writer(sys.stdout, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(titles)
    for row in rows:
        writer.writerow([csv_cell(value) for value in row])


def csv_cell(value: object) -> str:
    """Return a value as a cell: lists joined by a space, and a ' before what could be a formula."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return csv_cell(" ".join(map(str, value)))
    if isinstance(value, int):
        return str(value)
    text = str(value)
    return "'" + text if text.startswith(_FORMULA_STARTS) else text


def field_titles(type_: type[Any], *, without: Sequence[str] = ()) -> list[str]:
    """Return the names of a dataclass's fields in order."""
    return [field.name for field in fields(type_) if field.name not in without]


def field_values(item: object, titles: Sequence[str]) -> list[object]:
    """Return the values of these fields."""
    return [getattr(item, title) for title in titles]
