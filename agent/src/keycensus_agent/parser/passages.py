"""Read one text with every format that may hold something in it: several often share a file.

Parser side: pure, on hostile bytes. A secret in YAML has PEM beside base64, a JSON file a JWK beside
PEM; none hides another, and nothing is reported twice: a piece of text belongs to the first format
of the table that takes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from keycensus_agent.model import EntryKind, Status
from keycensus_agent.parser.findings import FormatResult, Passage, Request, conclude
from keycensus_agent.parser.triage import utf_16_of

Find = Callable[[bytes, Request], Iterator[Passage]]


def read_text(formats: Iterable[tuple[str, Find]], data: bytes, request: Request) -> FormatResult:
    """Return what the formats, given as (name, function), find in a text, in the text's order.

    A format that fails half-way keeps what it found before, and costs the others nothing.
    """
    text = plain_text(data)
    kept: list[Passage] = []
    names: list[str] = []
    for name, find in formats:
        fresh = list(_contained(find, text, request))
        if not fresh:
            continue
        kept += fresh
        text = without(text, fresh)
        if any(passage.found or passage.reason for passage in fresh):
            names.append(name)
    kept.sort(key=lambda passage: passage.start)
    found = [item for passage in kept for item in passage.found]
    problems = [passage.reason for passage in kept if passage.reason]
    result = conclude("+".join(names), found, problems)
    locks = [item.entry for item in found if item.entry.kind is EntryKind.SEALED_CONTAINER]
    if locks and not problems:
        return FormatResult(result.format, result.found, Status.LOCKED, locks[0].reason)
    return result


def plain_text(data: bytes) -> bytes:
    """Return UTF-16 as ASCII, with "?" for what has none; other bytes as they are."""
    encoding = utf_16_of(data[:8])
    return data.decode(encoding, "replace").encode("ascii", "replace") if encoding else data


def _contained(find: Find, text: bytes, request: Request) -> Iterator[Passage]:
    try:
        yield from find(text, request)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - where a text format's failure is contained
        # The type alone: a message could quote the file.
        yield Passage(len(text), len(text), (), f"error-{type(error).__name__}")


def without(text: bytes, passages: Iterable[Passage]) -> bytes:
    """Return the text with what is taken of it turned into blanks: nothing moves."""
    rest = bytearray(text)
    for start, end, *_ in passages:
        rest[start:end] = b" " * (end - start)
    return bytes(rest)
