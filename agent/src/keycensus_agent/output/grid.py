"""Lay out text in columns of a terminal: widths as they are shown, shortening, colour."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

ELLIPSIS = "…"
# Select Graphic Rendition (ECMA-48 8.3.117) for the few meanings that a table has.
STYLES = {"bad": "31;1", "warn": "33", "dim": "2", "head": "1"}


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its title, and how it gives way when the terminal is narrow.

    `keep` is the width that it keeps (0: all), `needs` the terminal width below which it is left out.
    """

    title: str
    keep: int = 0
    needs: int = 0


@dataclass(frozen=True, slots=True)
class Cell:
    """Escaped text, and what it means: a name of `STYLES` or ""."""

    text: str
    style: str = ""


def shown_width(text: str) -> int:
    """Return how many columns a terminal needs for escaped text."""
    if text.isascii():
        return len(text)
    return sum(
        0
        if unicodedata.combining(character)
        else 2
        if unicodedata.east_asian_width(character) in "WF"
        else 1
        for character in text
    )


def shorten(text: str, width: int, *, keep_end: bool = False) -> str:
    """Cut text to `width` columns, with an ellipsis where something is missing."""
    if shown_width(text) <= width:
        return text
    if keep_end:
        return shorten(text[::-1], width)[::-1]
    pieces: list[str] = []
    left = width - 1
    for character in text:
        left -= shown_width(character)
        if left < 0:
            break
        pieces.append(character)
    return "".join(pieces) + ELLIPSIS


def paint(text: str, style: str, *, colour: bool) -> str:
    """Return text in a style, where there is colour."""
    return f"\x1b[{STYLES[style]}m{text}\x1b[0m" if colour and style and text else text


def fit(columns: Sequence[Column], rows: Sequence[Sequence[Cell]], width: int) -> list[int]:
    """Return the width of each column, so that a line fits `width` (0: as wide as it needs).

    Columns that can be narrowed give way, the widest first, down to what they keep.
    """
    widths = [
        max([shown_width(column.title), *(shown_width(row[index].text) for row in rows)])
        for index, column in enumerate(columns)
    ]
    excess = sum(widths) + 2 * (len(widths) - 1) - width if width else 0
    while excess > 0:
        room = [w - c.keep if c.keep else 0 for w, c in zip(widths, columns, strict=True)]
        widest = max(range(len(widths)), key=lambda index: (room[index] > 0, widths[index]))
        if room[widest] <= 0:
            break
        widths[widest] -= 1
        excess -= 1
    return widths


def line(row: Sequence[Cell], widths: Sequence[int], *, colour: bool) -> str:
    """Return one line of cells, padded to their columns, without trailing blanks."""
    pieces = []
    for cell, width in zip(row, widths, strict=True):
        text = shorten(cell.text, width)
        padding = " " * (width - shown_width(text))
        pieces.append(paint(text, cell.style, colour=colour) + padding)
    return "  ".join(pieces).rstrip()
