"""`keycensus-agent scan`: print what is on this machine; no collector, no state, no configuration."""

from __future__ import annotations

import argparse
import datetime as dt
import io
import os
import sys
import time

from keycensus_agent.collection import collect_seldom
from keycensus_agent.commands.targets import Targets, context_of, targets_of
from keycensus_agent.context.bindings import NOTHING, Context
from keycensus_agent.output.completeness import is_complete
from keycensus_agent.output.structured import write_csv, write_json, write_ndjson
from keycensus_agent.output.table import Style, table
from keycensus_agent.output.terminal import ProgressLine, wants_colour, width_of
from keycensus_agent.reader.parser_client import ParserClient
from keycensus_agent.reader.same_bytes import SameBytes
from keycensus_agent.reader.scan import Progress, ScanResult, certificates_by_key, scan
from keycensus_agent.text import safe_path

_NOT_THERE = 2


def run(arguments: argparse.Namespace) -> int:
    """Scan and print; returns 0, 1 with `strict` if not all was seen, 2 if a PATH is not there."""
    targets = targets_of(arguments)
    for problem in targets.problems:
        print(f"keycensus-agent: {problem}", file=sys.stderr)
    if not targets.request.roots:
        return _NOT_THERE
    if arguments.bundle is not None:
        return _bundle(arguments, targets)
    result = run_scan(targets)
    places = frozenset(finding.place.path for finding in result.findings)
    context = context_of(targets, places) if places else NOTHING
    _print(arguments, result, context)
    if targets.problems:
        return _NOT_THERE
    complete = is_complete(result.findings, result.coverage)
    return 1 if arguments.strict and not complete else 0


def _bundle(arguments: argparse.Namespace, targets: Targets) -> int:
    """Write what `run` would send of these targets, and say what that is."""
    # Only now: the printing scan needs none of it.
    from keycensus_agent.commands.bundle import write

    with arguments.bundle_file as file:
        complete = write(arguments, targets, file)
    if targets.problems:
        return _NOT_THERE
    return 1 if arguments.strict and not complete else 0


def run_scan(targets: Targets) -> ScanResult:
    """Scan with a parser of its own, and with progress on a terminal."""
    line = ProgressLine(sys.stderr, time.monotonic)
    collect_seldom()

    def show(progress: Progress) -> None:
        line.show(progress.directories, progress.files, progress.found)

    try:
        with ParserClient(passwords=targets.passwords, details=True) as parser:
            return scan(
                targets.request,
                SameBytes(parser, targets.passwords),
                salt=os.urandom(16),
                mounts=targets.mounts,
                progress=show,
            )
    finally:
        line.clear()


def _print(arguments: argparse.Namespace, result: ScanResult, context: Context) -> None:
    findings, coverage = result.findings, result.coverage
    certificates = certificates_by_key(findings)
    # Escaped text has only printable characters, but not every terminal can show all of them.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    if arguments.output == "ndjson":
        write_ndjson(findings, coverage, certificates, sys.stdout, context)
    elif arguments.output == "json":
        write_json(findings, coverage, certificates, sys.stdout, context)
    elif arguments.output == "csv":
        write_csv(findings, certificates, sys.stdout, context)
        _tell_gaps(result)
    else:
        style = Style(width_of(sys.stdout), wants_colour(sys.stdout), everything=arguments.all)
        now = dt.datetime.now(dt.UTC)
        for text in table(findings, coverage, certificates, now, style, context=context):
            print(text)


def _tell_gaps(result: ScanResult) -> None:
    """Say beside a CSV, which has no room for it, what could not be looked at."""
    for gap in result.coverage.gaps[:20]:
        detail = f" ({gap.detail})" if gap.detail else ""
        print(
            f"keycensus-agent: not seen: {safe_path(gap.prefix)}: {gap.reason}{detail}",
            file=sys.stderr,
        )
    more = len(result.coverage.gaps) - 20
    if more > 0:
        print(f"keycensus-agent: and {more} more gaps: -o json lists them", file=sys.stderr)
