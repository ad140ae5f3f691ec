"""Ask one format, or all of them, for what a text holds."""

from __future__ import annotations

from keycensus_agent.parser.findings import FormatResult, Hint, Request
from keycensus_agent.parser.formats.table import TEXT_FORMATS
from keycensus_agent.parser.passages import read_text

FINDERS = {row.name: row.find for row in TEXT_FORMATS}


def read(name: str, text: bytes, *passwords: str, file: bytes = b"file") -> FormatResult:
    """Return what the format `name` alone finds."""
    return read_text([(name, FINDERS[name])], text, Request(Hint(file), passwords))


def kinds(result: FormatResult) -> list[str]:
    """Return the kinds of what was found, in order."""
    return [item.entry.kind for item in result.found]
