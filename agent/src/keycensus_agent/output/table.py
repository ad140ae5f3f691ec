"""The table for people: what is where, by directory, and at the end what will bite.

A trust store's roots and what packages brought are nobody's own certificates; they are counted in one line
unless all is asked for. A file with several names is described once. On a terminal lines fit its width and directories are headings; in a pipe each line has its whole
path and nothing is cut.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress

from keycensus_agent.context.bindings import NOTHING, Context
from keycensus_agent.model import Coverage, EntryKind, Finding
from keycensus_agent.output.bites import closing_lines
from keycensus_agent.output.grid import Cell, Column, fit, line, paint, shorten, shown_width
from keycensus_agent.output.judgement import (
    SOON_DAYS,
    Judged,
    Oddity,
    issuer_of,
    judge,
    key_title,
    title_of,
)
from keycensus_agent.output.records import group_of, owner_of
from keycensus_agent.text import safe_path

_COLUMNS = (
    Column("FILE", keep=14),
    Column("KIND", keep=10),
    Column("SUBJECT OR KEY", keep=12),
    Column("EXPIRES"),
    Column("ISSUER", keep=8, needs=110),
    Column("MODE", needs=90),
    Column("OWNER", keep=9, needs=100),
    Column("WHAT IS ODD", keep=20),
)
_INDENT = "  "
# What is kept of a path that stands at the end of a line.
_PATH_KEEP = 20
_KEY_NAMES = {
    EntryKind.PRIVATE_KEY: "key",
    EntryKind.OPAQUE_KEY: "key",
    EntryKind.SEALED_KEY: "encrypted key",
    EntryKind.EXTERNAL_KEY: "external key",
    EntryKind.PUBLIC_KEY: "public key",
}
_CERTIFICATE = "certificate"
_OTHER_NAMES = {
    EntryKind.CSR: "request",
    EntryKind.CRL: "CRL",
    EntryKind.SEALED_CONTAINER: "locked store",
}
# Containers whose name says more to people than what is in them.
_NAMED_FORMATS = frozenset(
    [
        "pkcs12",
        "jks",
        "jceks",
        "bks",
        "uber",
        "bcfks",
        "nss",
        "nss-legacy",
        "keybox",
        "sst",
        "ibm-kdb",
        "oracle-wallet",
        "pkcs7",
        "openssh",
    ]
)


@dataclass(frozen=True, slots=True)
class Style:
    """How to print: terminal width (0: unlimited, no headings), colour, every trust store too."""

    width: int = 0
    colour: bool = False
    everything: bool = False


def table(
    findings: Sequence[Finding],
    coverage: Coverage,
    certified: Mapping[bytes, Sequence[bytes]],
    now: dt.datetime,
    style: Style,
    *,
    context: Context = NOTHING,
) -> Iterator[str]:
    """Yield the lines of the whole report; `findings` are sorted by path."""
    judged = judge(findings, now, certified, context)
    shown = [one for one in judged if style.everything or not one.folds_as]
    yield from _listing(shown, style)
    if len(shown) < len(judged):
        yield paint(_folded_line(judged), "dim", colour=style.colour)
    if judged:
        yield ""
    yield from closing_lines(judged, coverage, width=style.width, colour=style.colour)


def _folded_line(judged: Sequence[Judged]) -> str:
    """Count what was left out, by its reason."""
    counts = Counter(one.folds_as for one in judged if one.folds_as)
    total = sum(counts.values())
    parts = ["in " + reason for reason in counts]
    if len(counts) > 1:
        parts = [f"{count:,} in {reason}" for reason, count in counts.most_common()]
    names = "name" if total == 1 else "names"
    listed = f" {parts[0]}" if len(parts) == 1 else f" ({', '.join(parts)})"
    return f"+ {total:,} {names}{listed}: --all shows them"


def _listing(judged: Sequence[Judged], style: Style) -> Iterator[str]:
    if not judged:
        return
    grouped = style.width > 0
    wanted = [not grouped or style.width >= column.needs for column in _COLUMNS]
    columns = list(compress(_COLUMNS, wanted))
    firsts = _firsts(judged)
    rows = [
        list(compress(_row(one, grouped=grouped), wanted))
        if firsts[one.place.file_id] is one
        else [Cell(_name(one, grouped=grouped), "dim"), *(Cell("") for _ in columns[1:])]
        for one in judged
    ]
    widths = fit(columns, rows, style.width - len(_INDENT) if grouped else 0)
    indent = _INDENT if grouped else ""
    titles = [Cell(column.title, "head") for column in columns]
    yield indent + line(titles, widths, colour=style.colour)
    directory = None
    for one, row in zip(judged, rows, strict=True):
        here = one.place.path.rpartition(b"/")[0] + b"/"
        if grouped and here != directory:
            directory = here
            yield paint(safe_path(here), "head", colour=style.colour)
        first = firsts[one.place.file_id]
        if first is one:
            yield indent + line(row, widths, colour=style.colour)
        else:
            room = style.width - len(indent) - widths[0] - 2 if grouped else 0
            other = _other_name(one, first, room)
            cells = ([row[0], other], [widths[0], shown_width(other.text)])
            yield indent + line(*cells, colour=style.colour)


def _firsts(judged: Sequence[Judged]) -> dict[bytes, Judged]:
    """Return, per file, the name that it is described under: one in use, rather no link."""
    firsts: dict[bytes, Judged] = {}
    for one in judged:
        first = firsts.setdefault(one.place.file_id, one)
        if _precedence(one) < _precedence(first):
            firsts[one.place.file_id] = one
    return firsts


def _precedence(judged: Judged) -> tuple[bool, bool]:
    return not judged.is_live, bool(judged.place.target)


def _row(judged: Judged, *, grouped: bool) -> list[Cell]:
    place = judged.place
    dim = "" if judged.is_live else "dim"
    # On a terminal the column of expiry has a colour for it, and room is dear.
    odd = [oddity for oddity in judged.oddities if not (grouped and oddity.of_time)]
    return [
        Cell(_name(judged, grouped=grouped), dim),
        Cell(kind_of(judged), dim),
        Cell(_title(judged), dim),
        _expiry(judged),
        Cell(issuer_of(judged.principal[0]) if judged.principal else "", dim),
        Cell(f"{place.facts.mode & 0o7777:04o}", "bad" if judged.exposed == "world" else dim),
        Cell(f"{owner_of(place)}:{group_of(place)}", dim),
        Cell(", ".join(oddity.text for oddity in odd), _worst(odd) or dim),
    ]


def _other_name(judged: Judged, first: Judged, room: int) -> Cell:
    """Return what is said beside a further name of a file: what differs there, where it is described."""
    known = {oddity.text for oddity in first.oddities}
    odd = [oddity for oddity in judged.oddities if oddity.text not in known]
    differing = "".join(f"{oddity.text}, " for oddity in odd) + "same file as "
    path = safe_path(first.place.path)
    if room:
        path = shorten(path, max(room - shown_width(differing), _PATH_KEEP), keep_end=True)
    return Cell(differing + path, _worst(odd) or "dim")


def _name(judged: Judged, *, grouped: bool) -> str:
    """Return a place's name, and for a link the name of its file where that is another one."""
    place = judged.place
    own = place.path.rpartition(b"/")[2]
    shown = safe_path(own if grouped else place.path)
    if not place.target:
        return shown
    name = place.target.rpartition(b"/")[2]
    return f"{shown}@" if name == own else f"{shown} -> {safe_path(name)}"


def kind_of(judged: Judged) -> str:
    """Name in few words what a place's file holds."""
    counts: dict[str, int] = {}
    for entry in judged.finding.parsed.entries:
        name = _KEY_NAMES.get(entry.kind) or _OTHER_NAMES.get(entry.kind, _CERTIFICATE)
        counts[name] = counts.get(name, 0) + 1
    if "locked store" in counts:
        # What can be seen of a locked store beside its lock says little.
        counts = {"locked store": 1}
    text = " + ".join(_counted(judged, name, count) for name, count in counts.items())
    name = judged.place.format
    if name in _NAMED_FORMATS:
        return f"{name}: {text}" if text else name
    return text or "?"


def _counted(judged: Judged, name: str, count: int) -> str:
    if name != _CERTIFICATE:
        return name if count == 1 else f"{count} {name}s"
    if count > 1:
        return f"{count} certs"
    alone = len(judged.finding.parsed.entries) == 1
    if judged.certificates and judged.certificates[0].is_ca:
        return "CA certificate" if alone else "CA"
    return _CERTIFICATE if alone else "cert"


def _title(judged: Judged) -> str:
    if judged.principal:
        first = title_of(judged.soonest or judged.principal[0])
        others = len(judged.principal) - 1
        return f"{first} +{others}" if others else first
    entries = judged.finding.parsed.entries
    for entry in entries:
        if entry.algorithm:
            return key_title(entry)
    details = judged.finding.parsed.details
    return title_of(details[0]) if details else ""


def _expiry(judged: Judged) -> Cell:
    days = judged.days
    if days is None:
        return Cell("")
    text = span(days)
    if not judged.is_live:
        return Cell(text, "dim")
    soon = days < SOON_DAYS and not judged.is_renewed
    return Cell(text, "bad" if days < 0 else "warn" if soon else "")


def span(days: int) -> str:
    """Return a number of days as people say it: "12 days", "3 years", "expired 5 days ago"."""
    if days < 0:
        return f"{span(-days)} ago"
    if days == 0:
        return "today"
    if days < 2 * 365:
        return "1 day" if days == 1 else f"{days} days"
    return f"{days // 365} years"


def _worst(oddities: Sequence[Oddity]) -> str:
    return oddities[0].style if oddities else ""
