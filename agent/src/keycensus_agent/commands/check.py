"""`keycensus-agent check`: one line and an exit status for Nagios and its heirs, without a collector.

What counts is live: leaf certificates that an ordinary name reaches, not the roots of trust stores,
not superseded copies. A place that can't be read makes the answer less sure, and the line says so.
"""

from __future__ import annotations

import argparse
import datetime as dt
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from keycensus_agent.commands.scan import has_gaps, run_scan
from keycensus_agent.commands.targets import targets_of
from keycensus_agent.errors import KeycensusError
from keycensus_agent.model import Finding, Role, Use
from keycensus_agent.output.judgement import Judged, days_left, title_of
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
    dated = live_certificates(
        result.findings, dt.datetime.now(dt.UTC), trust_stores=arguments.include_trust_stores
    )
    return _say(*verdict(dated, arguments.within, result))


def live_certificates(
    findings: Sequence[Finding], now: dt.datetime, *, trust_stores: bool
) -> list[_Dated]:
    """Return each live certificate once, what expires first in front."""
    found: dict[bytes, _Dated] = {}
    for finding in findings:
        place = finding.place
        if place.use is not Use.LIVE or (place.role is Role.TRUST_STORE and not trust_stores):
            continue
        for detail in Judged(finding, now, {}).principal:
            days = days_left(detail.not_after, now)
            if days is not None:
                dated = _Dated(days, title_of(detail), place.path)
                found.setdefault(detail.sha256, dated)
    return sorted(found.values(), key=lambda dated: dated.days)


def verdict(dated: Sequence[_Dated], within: int, result: ScanResult) -> tuple[int, str]:
    """Return the status, and the line's text with performance data."""
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
    if has_gaps(result):
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
