"""An inventory whose every text was written by somebody who means harm, as intake and catalogue keep it."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from fakes.census import Census, certificate, private_key, sealed_key
from fakes.pki import issue

from keycensus_collector.text import safe_path, safe_text

# One for each thing that text can do: terminal title, colours, cursor, line ends, right-to-left, hidden
# and joined letters, a spreadsheet's formulas, markup of pages, of rich and of chat, headers of mail.
TEXTS = (
    "\x1b]0;pwn\x07\x1b[2J\x1b[31m",
    "a\r\nBcc: everybody@example.com",
    "\u202egpj.exe",
    "pay\u200bpal\u2060.com\ufeff",
    "\u2066x\u2069\u2028y\u2029z",
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-2+3",
    "@SUM(1+1)",
    "\t=1",
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "[bold red]x[/bold red]",
    "x\x00y\x7f\x9b31m",
    '","injected","',
    "a.example.com, DNS:evil.example.com",
)
# Control, format, surrogate, private, unassigned; separators of lines and paragraphs.
_ACTING = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def fill(directory: Path) -> Census:
    """Return a census of hosts, paths, members, users and names that are all hostile."""
    census = Census.create(directory)
    root = issue(TEXTS[0], is_ca=True, days=3650)
    for number, text in enumerate(TEXTS):
        host = census.host(
            safe_text(text), operating_system=safe_text(text), kernel=safe_text(text)
        )
        leaf = issue(text, issuer=root, sans=(text,) if text.isascii() else (), days=9 + number)
        path = safe_path(f"/srv/{text}".encode())
        word = safe_text(text)
        census.report(
            host,
            path,
            certificate(leaf, member=word),
            private_key(leaf.key),
            owner=word,
            target=path,
            package=word,
        )
        census.report(host, path + ".p12", sealed_key(text.encode()), status="locked")
        census.gap(host, path)
    census.fold()
    return census


def is_inert(text: str) -> bool:
    """Whether text can do nothing to a terminal, but show itself in the order in which it stands."""
    return all(
        character == "\n" or unicodedata.category(character) not in _ACTING for character in text
    )


def texts_in(content: object) -> Iterator[str]:
    """Yield every text in JSON, names of members too."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, dict):
        for name, value in content.items():
            yield name
            yield from texts_in(value)
    elif isinstance(content, list):
        for value in content:
            yield from texts_in(value)


def check_json(text: str) -> int:
    """Assert that every text in a JSON document is inert, and no line holds more; return how many there are."""
    count = 0
    for found in texts_in(json.loads(text)):
        assert is_inert(found), ascii(found)
        assert "\n" not in found, ascii(found)
        count += 1
    return count


def check_csv(text: str) -> int:
    """Assert that no cell of a CSV is a formula or acts on a terminal; return how many there are."""
    assert is_inert(text)
    rows = list(csv.reader(io.StringIO(text), strict=True))
    assert len({len(row) for row in rows if not row[0].startswith("# end")}) == 1
    for cell in (cell for row in rows for cell in row):
        assert not cell.startswith(FORMULA_STARTS), ascii(cell)
        assert "\n" not in cell, ascii(cell)
    return sum(map(len, rows))
