"""`keycensus-agent check`: one line and an exit status for Nagios and its heirs, without a collector.

What counts is live: leaf certificates that an ordinary name reaches, not the roots of trust stores,
not what packages brought, not superseded copies; of the first two it says how many would have counted. A place that can't be read makes the answer less sure, and the line says so.
"""

from __future__ import annotations

import argparse
import datetime as dt
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from keycensus_agent.commands.scan import run_scan
from keycensus_agent.commands.targets import targets_of
from keycensus_agent.errors import KeycensusError
from keycensus_agent.model import Finding, Use
from keycensus_agent.output.completeness import is_complete
from keycensus_agent.output.judgement import days_left, judge, title_of
from keycensus_agent.reader.scan import ScanResult
from keycensus_agent.text import safe_path

OK, WARNING, CRITICAL, UNKNOWN = range(4)
_WORDS = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
# Certificates that are named in the line; the rest is counted.
_NAMED = 3


@dataclass(frozen=True, slots=True)
class _Dated:
    """One certificate with the days that are left, and one place of it."""

    days: int
    title: str
    path: bytes


def run(arguments: argparse.Namespace) -> int:
    """Print one line; returns 0 fine, 1 something expires within, 2 something expired, 3 unknown."""
    try:
        targets = targets_of(arguments)
        if targets.problems:
            return _say(UNKNOWN, "; ".join(targets.problems))
        result = run_scan(targets)
    except KeycensusError as error:
        return _say(UNKNOWN, " ".join(str(error).split("\n")))
    dated = dated_certificates(result.findings, dt.datetime.now(dt.UTC))
    if arguments.include_trust_stores:
        dated = Dated(sorted([*dated.live, *dated.left_out], key=_days), [])
    return _say(*verdict(dated, arguments.within, result))


@dataclass(frozen=True, slots=True)
class Dated:
    """Certificates, what expires first in front: those that count, and those of others' making."""

    live: list[_Dated]
    left_out: list[_Dated]


def dated_certificates(findings: Sequence[Finding], now: dt.datetime) -> Dated:
    """Return each certificate once; one that is live somewhere counts."""
    live: dict[bytes, _Dated] = {}
    left_out: dict[bytes, _Dated] = {}
    for judged in judge(findings, now, {}):
        place = judged.place
        if place.use is not Use.LIVE:
            continue
        for detail in judged.principal:
            days = days_left(detail.not_after, now)
            if days is not None:
                dated = _Dated(days, title_of(detail), place.path)
                (live if judged.is_live else left_out).setdefault(detail.sha256, dated)
    others = [dated for sha256, dated in left_out.items() if sha256 not in live]
    return Dated(sorted(live.values(), key=_days), sorted(others, key=_days))


def _days(dated: _Dated) -> int:
    return dated.days


def verdict(certificates: Dated, within: int, result: ScanResult) -> tuple[int, str]:
    """Return the status, and the line's text with performance data."""
    dated = certificates.live
    expired = [one for one in dated if one.days < 0]
    expiring = [one for one in dated if 0 <= one.days < within]
    status = CRITICAL if expired else WARNING if expiring else OK
    parts = []
    if expired:
        parts.append(f"{len(expired)} expired: {_named(expired)}")
    if expiring:
        parts.append(f"{len(expiring)} expiring within {within} days: {_named(expiring)}")
    if not parts:
        parts.append(_fine(dated))
    left_out = sum(one.days < within for one in certificates.left_out)
    if left_out:
        parts.append(f"{left_out} more in trust stores or of packages left out")
    if not is_complete(result.findings, result.coverage):
        parts.append("not everything could be read (keycensus-agent scan says what)")
    first = dated[0].days if dated else ""
    performance = (
        f"certificates={len(dated)} expired={len(expired)} expiring={len(expiring)} "
        f"gaps={len(result.coverage.gaps)}"
    ) + (f" days_left={first};{within}:;0:" if dated else "")
    return status, f"{'; '.join(parts)} | {performance}"


def _fine(dated: Sequence[_Dated]) -> str:
    if not dated:
        return "no live certificates found"
    first = dated[0]
    return f"{len(dated)} certificates, the first expires in {first.days} days: {_named(dated[:1])}"


def _named(dated: Sequence[_Dated]) -> str:
    texts = [f"{one.title} ({_when(one.days)}, {safe_path(one.path)})" for one in dated[:_NAMED]]
    if len(dated) > _NAMED:
        texts.append(f"{len(dated) - _NAMED} more")
    return ", ".join(texts)


def _when(days: int) -> str:
    return f"{days} d" if days >= 0 else f"{-days} d ago"


def _say(status: int, text: str) -> int:
    # A bar starts the performance data: one in a name must not.
    head, bar, performance = text.rpartition(" | ")
    line = f"{head.replace('|', '/')}{bar}{performance}" if bar else text.replace("|", "/")
    print(f"CERTIFICATES {_WORDS[status]} - {line}")
    sys.stdout.flush()
    return status
