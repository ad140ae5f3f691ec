"""Tables: with colour and fitted to a terminal, plain and never cut to a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TextIO


@dataclass(frozen=True, slots=True)
class Column:
    """A column. `fold`: a terminal that is too narrow breaks its lines rather than the others'."""

    title: str
    align: Literal["left", "right"] = "left"
    fold: bool = False
    merge: bool = False  # on a terminal, blank where it and those before are as in the row above


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell's text, with its style on a terminal ("red", "dim", ...)."""

    text: str
    style: str = ""


Row = Sequence[Cell | str]


def print_table(columns: Sequence[Column], rows: Sequence[Row], title: str = "") -> None:
    """Print a table to standard output."""
    if sys.stdout.isatty():
        _print_rich(columns, rows, title)
    else:
        _print_plain(columns, rows, sys.stdout)


def _print_rich(columns: Sequence[Column], rows: Sequence[Row], title: str) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=Text(title, "bold") if title else None)
    table.title_justify = "left"
    for column in columns:
        # Cells are Text, never markup: a certificate's name may look like it.
        table.add_column(
            Text(column.title),
            justify=column.align,
            overflow="fold",
            no_wrap=not column.fold,
        )
    for row in _merged(columns, rows):
        table.add_row(*(Text(_text(cell), _style(cell)) for cell in row))
    Console(highlight=False).print(table)


def _merged(columns: Sequence[Column], rows: Sequence[Row]) -> Iterator[Row]:
    """Yield rows with the merging columns blank in all but the first row of a group."""
    merging = [index for index, column in enumerate(columns) if column.merge]
    before: list[str] | None = None
    for row in rows:
        group = [_text(row[index]) for index in merging]
        same = bool(merging) and group == before
        yield ["" if same and index in merging else cell for index, cell in enumerate(row)]
        before = group


def _print_plain(columns: Sequence[Column], rows: Sequence[Row], output: TextIO) -> None:
    lines = [[column.title for column in columns], *[[_text(c) or "-" for c in r] for r in rows]]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = [
            cell.rjust(width) if column.align == "right" else cell.ljust(width)
            for cell, width, column in zip(line, widths, columns, strict=True)
        ]
        output.write("  ".join(cells).rstrip() + "\n")


def _text(cell: Cell | str) -> str:
    return cell if isinstance(cell, str) else cell.text


def _style(cell: Cell | str) -> str:
    return "" if isinstance(cell, str) else cell.style


def print_facts(facts: Sequence[tuple[str, Cell | str]], title: str = "") -> None:
    """Print names and values, a line each, values aligned; a value of several lines keeps that."""
    width = max((len(name) for name, _ in facts), default=0)
    coloured = sys.stdout.isatty()
    if title:
        sys.stdout.write(f"\x1b[1m{title}\x1b[0m\n" if coloured else f"{title}\n")
    for name, cell in facts:
        first, *more = _text(cell).split("\n")
        code = {"red": "31", "yellow": "33", "green": "32"}.get(_style(cell)) if coloured else None
        shown = f"\x1b[{code}m{first}\x1b[0m" if code else first
        sys.stdout.write(f"  {name.ljust(width)}  {shown}".rstrip() + "\n")
        for line in more:
            sys.stdout.write(f"  {'':{width}}  {line}".rstrip() + "\n")
