"""`keycensus-agent check`: one line and an exit status for Nagios and its heirs, without a collector.

What counts is live: leaf certificates that an ordinary name reaches, not the roots of trust stores,
not what packages brought, not superseded copies, not what a tool renews in time; of all but copies it
says how many would have counted. A tool that is late with its certificate warns, however long the rest of
its life. A place that can't be read makes the answer less sure, and the line says so.
"""

from __future__ import annotations

import argparse
import datetime as dt
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from keycensus_agent.commands.scan import run_scan
from keycensus_agent.commands.targets import context_of, targets_of
from keycensus_agent.context.bindings import NOTHING, Context
from keycensus_agent.errors import KeycensusError
from keycensus_agent.model import Finding, Use
from keycensus_agent.output.around import OVERDUE_REASONS
from keycensus_agent.output.completeness import is_complete
from keycensus_agent.output.judgement import Judged, days_left, judge, title_of
from keycensus_agent.reader.scan import ScanResult
from keycensus_agent.text import counted, safe_path, safe_text

OK, WARNING, CRITICAL, UNKNOWN = range(4)
_WORDS = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
# Certificates that are named in the line; the rest is counted.
_NAMED = 3


@dataclass(frozen=True, slots=True)
class _Dated:
    """One certificate with the days that are left, and one place of it; why its renewal is late."""

    days: int
    title: str
    path: bytes
    late: str = ""


def run(arguments: argparse.Namespace) -> int:
    """Print one line; returns 0 fine, 1 something expires within or is late, 2 expired, 3 unknown."""
    try:
        targets = targets_of(arguments)
        if targets.problems:
            return _say(UNKNOWN, "; ".join(targets.problems))
        result = run_scan(targets)
    except KeycensusError as error:
        return _say(UNKNOWN, " ".join(str(error).split("\n")))
    context = context_of(targets, ()) if result.findings else NOTHING
    dated = dated_certificates(result.findings, dt.datetime.now(dt.UTC), context)
    if arguments.include_trust_stores:
        dated = replace(dated, live=sorted([*dated.live, *dated.left_out], key=_days), left_out=[])
    return _say(*verdict(dated, arguments.within, result))


@dataclass(frozen=True, slots=True)
class Dated:
    """Certificates, what expires first in front: those that count, what tools renew, others' making."""

    live: list[_Dated]
    renewed: list[_Dated]
    left_out: list[_Dated]


def dated_certificates(
    findings: Sequence[Finding], now: dt.datetime, context: Context = NOTHING
) -> Dated:
    """Return each certificate once; one that is live somewhere counts, unless a tool renews it there.

    What has expired counts whoever should have renewed it.
    """
    live: dict[bytes, _Dated] = {}
    renewed: dict[bytes, _Dated] = {}
    left_out: dict[bytes, _Dated] = {}
    for judged in judge(findings, now, {}, context):
        place = judged.place
        if place.use is not Use.LIVE:
            continue
        for detail in judged.principal:
            days = days_left(detail.not_after, now)
            if days is not None:
                dated = _Dated(days, title_of(detail), place.path, _lateness(judged))
                in_time = renewed if judged.is_renewed and days >= 0 else live
                (in_time if judged.is_live else left_out).setdefault(detail.sha256, dated)
    return Dated(
        sorted(live.values(), key=_days),
        _without(renewed, live),
        _without(left_out, live.keys() | renewed.keys()),
    )


def _without(dated: Mapping[bytes, _Dated], others: Collection[bytes]) -> list[_Dated]:
    return sorted((one for sha256, one in dated.items() if sha256 not in others), key=_days)


def _lateness(judged: Judged) -> str:
    renewer = judged.renewer
    if renewer is None or not judged.is_overdue:
        return ""
    why = OVERDUE_REASONS.get(renewer.reason, safe_text(renewer.reason))
    return f"{safe_text(renewer.tool)}: {why}"


def _days(dated: _Dated) -> int:
    return dated.days


def verdict(certificates: Dated, within: int, result: ScanResult) -> tuple[int, str]:
    """Return the status, and the line's text with performance data."""
    dated = certificates.live
    expired = [one for one in dated if one.days < 0]
    expiring = [one for one in dated if 0 <= one.days < within]
    late = [one for one in dated if one.days >= within and one.late]
    status = CRITICAL if expired else WARNING if expiring or late else OK
    parts = []
    if expired:
        parts.append(f"{len(expired)} expired: {_named(expired)}")
    if expiring:
        parts.append(f"{len(expiring)} expiring within {within} days: {_named(expiring)}")
    if late:
        parts.append(f"{len(late)} whose renewal is overdue: {_named(late)}")
    if not parts:
        parts.append(_fine(sorted([*dated, *certificates.renewed], key=_days)))
    in_time = sum(one.days < within for one in certificates.renewed)
    if in_time:
        parts.append(f"{in_time} within {within} days that a tool renews in time left out")
    left_out = sum(one.days < within for one in certificates.left_out)
    if left_out:
        parts.append(f"{left_out} more in trust stores or of packages left out")
    if not is_complete(result.findings, result.coverage):
        parts.append("not everything could be read (keycensus-agent scan says what)")
    first = dated[0].days if dated else ""
    count = len(dated) + len(certificates.renewed)
    performance = (
        f"certificates={count} expired={len(expired)} expiring={len(expiring)} "
        f"gaps={len(result.coverage.gaps)}"
    ) + (f" days_left={first};{within}:;0:" if dated else "")
    return status, f"{'; '.join(parts)} | {performance}"


def _fine(dated: Sequence[_Dated]) -> str:
    if not dated:
        return "no live certificates found"
    first = dated[0]
    return f"{counted(len(dated), 'certificate')}, the first expires in {counted(first.days, 'day')}: {_named(dated[:1])}"


def _named(dated: Sequence[_Dated]) -> str:
    texts = [f"{one.title} ({_about(one)})" for one in dated[:_NAMED]]
    if len(dated) > _NAMED:
        texts.append(f"{len(dated) - _NAMED} more")
    return ", ".join(texts)


def _about(one: _Dated) -> str:
    return ", ".join(filter(None, (_when(one.days), one.late, safe_path(one.path))))


def _when(days: int) -> str:
    return f"{days} d" if days >= 0 else f"{-days} d ago"


def _say(status: int, text: str) -> int:
    # A bar starts the performance data: one in a name must not.
    head, bar, performance = text.rpartition(" | ")
    line = f"{head.replace('|', '/')}{bar}{performance}" if bar else text.replace("|", "/")
    print(f"CERTIFICATES {_WORDS[status]} - {line}")
    sys.stdout.flush()
    return status
