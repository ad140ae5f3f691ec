"""Printing of what commands return: a plain table for people, JSON for scripts.

Names and reasons come from hosts and people. The database holds them escaped already, so nothing
here can move a cursor.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click


def show_rows(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[tuple[str, str]], output: str
) -> None:
    """Print rows; `columns` are (key, heading) of the table, JSON has every key."""
    if output == "json":
        show_json([_readable(row) for row in rows])
        return
    table = [[heading for _, heading in columns]]
    table += [[_cell(_readable(row).get(key)) for key, _ in columns] for row in rows]
    widths = [max(len(line[index]) for line in table) for index in range(len(columns))]
    for line in table:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


def show_json(value: object) -> None:
    """Print a value as JSON."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def show_result(result: Mapping[str, Any], text: str, output: str) -> None:
    """Print one result: as JSON whole, else a sentence."""
    if output == "json":
        show_json(_readable(result))
    else:
        click.echo(text)


def time_text(milliseconds: int) -> str:
    """Return a time as RFC 3339, UTC, whole seconds."""
    return datetime.fromtimestamp(milliseconds // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _readable(row: Mapping[str, Any]) -> dict[str, Any]:
    """Turn `*_ms` into times without that ending; null stays null."""
    readable: dict[str, Any] = {}
    for key, value in row.items():
        if key.endswith("_ms") and (value is None or isinstance(value, int)):
            readable[key.removesuffix("_ms")] = None if value is None else time_text(value)
        else:
            readable[key] = value
    return readable


def _cell(value: object) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return _labels(value)
    if isinstance(value, list):
        return ",".join(map(str, value)) or "-"
    return str(value)


def _labels(value: Mapping[str, object]) -> str:
    """Show {"token": {...}, "host": {...}} or plain labels as key=value words."""
    words: list[str] = []
    for key, inner in sorted(value.items()):
        if isinstance(inner, Mapping):
            prefix = "host." if key == "host" else ""
            words += [f"{prefix}{name}={text}" for name, text in sorted(inner.items())]
        else:
            words.append(f"{key}={inner}")
    return ",".join(words) or "-"
