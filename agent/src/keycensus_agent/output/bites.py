"""The end of the table: what will bite, and what was seen and not seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

from keycensus_agent.model import Coverage, EntryKind, Gap, Status
from keycensus_agent.output.around import OVERDUE_REASONS
from keycensus_agent.output.completeness import not_read_whole
from keycensus_agent.output.grid import paint, shorten, shown_width
from keycensus_agent.output.judgement import SOON_DAYS, Judged, key_title, title_of
from keycensus_agent.text import counted, safe_path, safe_text

# Lines under one heading; the rest is counted.
_LINES = 8
_HEADING_WIDTH = 22


@dataclass(slots=True)
class _Bite:
    """One thing that bites, and the places where it does."""

    what: str
    order: int
    paths: list[bytes] = field(default_factory=list)


def closing_lines(
    judged: Sequence[Judged], coverage: Coverage, *, width: int, colour: bool
) -> Iterator[str]:
    """Yield what will bite, heading by heading, then one line of coverage."""
    sections = [
        ("expired", "bad", _expiring(judged, past=True)),
        (f"expires in {SOON_DAYS} days", "warn", _expiring(judged, past=False)),
        ("renewal overdue", "warn", _overdue(judged)),
        ("keys others can read", "bad", _exposed(judged)),
        ("locked", "warn", _locked(judged)),
        ("not seen", "warn", _gaps(coverage.gaps)),
    ]
    if any(bites for _, _, bites in sections):
        yield paint("What will bite", "head", colour=colour)
    for heading, style, bites in sections:
        yield from _section(heading, style, bites, width=width, colour=colour)
    yield paint(_coverage_line(judged, coverage), "dim", colour=colour)


def _section(
    heading: str, style: str, bites: Sequence[_Bite], *, width: int, colour: bool
) -> Iterator[str]:
    title = paint(f"{heading:<{_HEADING_WIDTH}}", style, colour=colour)
    for number, bite in enumerate(bites[:_LINES]):
        more = f" (+{len(bite.paths) - 1} more)" if len(bite.paths) > 1 else ""
        room = width - _HEADING_WIDTH - 4 - shown_width(bite.what) - len(more) if width else 0
        path = safe_path(bite.paths[0])
        if room > 10:
            path = shorten(path, room, keep_end=True)
        first = title if number == 0 else " " * _HEADING_WIDTH
        yield f"  {first}{bite.what}  {path}{more}".rstrip()
    if len(bites) > _LINES:
        yield f"  {'':<{_HEADING_WIDTH}}and {len(bites) - _LINES:,} more"


def _expiring(judged: Sequence[Judged], *, past: bool) -> list[_Bite]:
    """Gather live certificates that are or will soon be expired, once each, the most urgent first.

    What a tool renews in time does not bite, and of what it is late with, it is said elsewhere.
    """
    found: dict[bytes, _Bite] = {}
    renewed = {} if past else _renewed(judged)
    for one in judged:
        if not one.is_live or one.soonest is None or one.days is None:
            continue
        if (one.days < 0) if past else (0 <= one.days < SOON_DAYS and one.renewer is None):
            text = f"{title_of(one.soonest)}, {_when(one.days)}"
            if not past:
                tool = renewed.get(one.soonest.sha256)
                text += f", {tool} renews another copy" if tool else ", renewed by nobody"
            # The latest to expire is the one that somebody still uses.
            bite = found.setdefault(one.soonest.sha256, _Bite(text, abs(one.days)))
            bite.paths.append(one.place.path)
    return sorted(found.values(), key=lambda bite: bite.order)


def _renewed(judged: Sequence[Judged]) -> dict[bytes, str]:
    """Return the tool by each certificate that one renews in time, whatever place it renews it at."""
    return {
        one.soonest.sha256: safe_text(one.renewer.tool)
        for one in judged
        if one.renewer is not None and one.is_renewed and one.soonest is not None
    }


def _overdue(judged: Sequence[Judged]) -> list[_Bite]:
    """Gather live certificates that a tool should have renewed, or that nothing starts a tool for."""
    found: dict[bytes, _Bite] = {}
    for one in judged:
        renewer, soonest = one.renewer, one.soonest
        if not one.is_live or soonest is None or renewer is None or not one.is_overdue:
            continue
        if one.days is not None and one.days >= 0:
            why = OVERDUE_REASONS.get(renewer.reason, "overdue")
            text = f"{title_of(soonest)}, {_when(one.days)}, {safe_text(renewer.tool)}: {why}"
            found.setdefault(soonest.sha256, _Bite(text, one.days)).paths.append(one.place.path)
    return sorted(found.values(), key=lambda bite: bite.order)


def _when(days: int) -> str:
    if days == 0:
        return "today"
    count = "1 day" if abs(days) == 1 else f"{abs(days):,} days"
    return f"{count} ago" if days < 0 else f"in {count}"


def _exposed(judged: Sequence[Judged]) -> list[_Bite]:
    """Gather unencrypted private keys that everybody on this machine can read, by file.

    What everybody has anyway comes last.
    """
    found: dict[bytes, _Bite] = {}
    for one in judged:
        if one.exposed != "world":
            continue
        known = " (known test key)" if one.known else ""
        bite = _Bite(key_title(one.secrets[0]) + known, 0 if one.is_live and not known else 1)
        found.setdefault(one.place.file_id, bite).paths.append(one.place.path)
    return sorted(found.values(), key=lambda bite: bite.order)


def _locked(judged: Sequence[Judged]) -> list[_Bite]:
    found: dict[bytes, _Bite] = {}
    for one in judged:
        sealed = one.place.status is Status.LOCKED or any(
            entry.kind is EntryKind.SEALED_CONTAINER for entry in one.finding.parsed.entries
        )
        if sealed:
            text = safe_text(one.place.format or "locked")
            found.setdefault(one.place.file_id, _Bite(text, 0)).paths.append(one.place.path)
    return list(found.values())


def _gaps(gaps: Sequence[Gap]) -> list[_Bite]:
    """Gather gaps by reason and place in the tree: many in one directory are one line."""
    found: dict[tuple[str, bytes], list[bytes]] = {}
    for gap in gaps:
        detail = f" ({safe_text(gap.detail)})" if gap.detail else ""
        top = gap.prefix.split(b"/", 2)[1]
        found.setdefault((f"{gap.reason}{detail}", top), []).append(gap.prefix)
    bites = []
    for (text, _), paths in found.items():
        if len(paths) > 1:
            bites.append(_Bite(f"{text}, {len(paths):,} below", 0, [common_ancestor(paths)]))
        else:
            bites.append(_Bite(text, 0, paths))
    return bites


def common_ancestor(paths: Sequence[bytes]) -> bytes:
    """Return the longest directory that all of several absolute paths lie in, or are."""
    components = [path.rstrip(b"/").split(b"/") for path in paths]
    pairs = zip(min(components), max(components), strict=False)
    common = [one for one, _ in takewhile(lambda pair: pair[0] == pair[1], pairs)]
    return b"/".join(common) or b"/"


def _coverage_line(judged: Sequence[Judged], coverage: Coverage) -> str:
    counters = coverage.counters
    parts = [
        counted(len(judged), "place"),
        (
            f"{counted(counters.get('files', 0), 'file')} in"
            f" {counted(counters.get('directories', 0), 'directory', 'directories')}"
        ),
        f"{counters.get('files-opened', 0):,} opened",
    ]
    if coverage.gaps:
        parts.append(counted(len(coverage.gaps), "gap"))
    partly = sum(not_read_whole(one.place) for one in judged)
    if partly:
        parts.append(f"{partly:,} not read whole")
    skipped = counters.get("text-too-long", 0)
    if skipped:
        parts.append(f"{skipped:,} long texts searched at their start only")
    return "Seen: " + ", ".join(parts)
