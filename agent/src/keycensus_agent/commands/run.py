"""`keycensus-agent run`: as a daemon, `--once` for cron, `--once --dry-run` to see what would go out.

What the reader needs is imported after the launcher was forked: memory that one of them writes to, be it
to count references, both would have.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from keycensus_agent.config import Config, load_config
from keycensus_agent.errors import StateDamagedError, UsageError
from keycensus_agent.isolation.evidence import enforced
from keycensus_agent.link_start import LinkStart
from keycensus_agent.reader.launcher import Launcher
from keycensus_agent.reader.lean import import_structlog
from keycensus_agent.text import counted

# `--once` that a signal ended: cron must not take it for a report that arrived.
_STOPPED = 130

if TYPE_CHECKING:
    from keycensus_agent.reader.service import ReaderService
    from keycensus_agent.reader.state import State


def run(arguments: argparse.Namespace) -> int:
    """Run the command; returns the exit status. KeycensusError for what a person must mend."""
    if arguments.dry_run and not arguments.once:
        raise UsageError("--dry-run shows what one sweep would send: give --once with it.")
    config = _config(arguments)
    launcher = _give_up(arguments, config)
    if arguments.dry_run:
        return _dry_run(config)
    try:
        try:
            return _run(arguments, config, launcher)
        except StateDamagedError:
            # It was marked to be put aside, which the second start does; a third would not help.
            return _run(arguments, config, launcher)
    finally:
        if launcher is not None:
            launcher.close()


def _run(arguments: argparse.Namespace, config: Config, launcher: Launcher | None) -> int:
    if _is_own_process(arguments):
        import_structlog()
    from keycensus_agent.reader.service import ReaderService
    from keycensus_agent.reader.state import State

    state = State.open(config.state_database)
    try:
        _tell_quarantine(state)
        service = ReaderService(config, state, launcher=launcher)
        if _is_own_process(arguments):
            service.saw("reader", enforced())
        if arguments.once:
            return _once(service)
        # Logs are the daemon's: one run for cron prints what it did, and starts the faster.
        from keycensus_agent.logs import set_up_logs
        from keycensus_agent.reader.daemon import Daemon

        set_up_logs(config.log.format, config.log.level)
        return Daemon(service, reload=lambda: _config(arguments)).run()
    except StateDamagedError:
        state.condemn()
        raise
    finally:
        state.close()


def _give_up(arguments: argparse.Namespace, config: Config) -> Launcher | None:
    """Start the link's side, then take the network and all privileges but to read from this process.

    None if nothing is to be reported, if systemd starts links, or if this is a function in another
    program's process.
    """
    if not _is_own_process(arguments):
        return None
    from keycensus_agent.isolation.ownership import prepare_state
    from keycensus_agent.isolation.privileges import CAP_SYS_PTRACE, permitted
    from keycensus_agent.isolation.profiles import enter_reader

    launcher = None
    if not arguments.dry_run:
        prepare_state(config.state.directory)
        if config.link.socket is None:
            launcher = Launcher.start(lambda: LinkStart.of(_config(arguments)))
    enter_reader(processes=config.context.processes)
    if config.context.processes and not permitted() >> CAP_SYS_PTRACE & 1:
        print(
            "keycensus-agent: [context] processes is on, but CAP_SYS_PTRACE was not given: only processes"
            " of the agent's own user show their files (packaging/systemd/README.md)",
            file=sys.stderr,
        )
    return launcher


def _is_own_process(arguments: argparse.Namespace) -> bool:
    return bool(getattr(arguments, "own_process", False))


def _config(arguments: argparse.Namespace) -> Config:
    return load_config(
        Path(arguments.config) if arguments.config else None,
        state_directory=Path(arguments.state_dir) if arguments.state_dir else None,
    )


def _tell_quarantine(state: State) -> None:
    if state.quarantined is not None:
        print(
            f"keycensus-agent: the state was damaged; it is kept as {state.quarantined}, and this"
            " sweep starts over. Nothing at the collector is lost.",
            file=sys.stderr,
        )


def _once(service: ReaderService) -> int:
    from keycensus_agent.collection import collect_seldom
    from keycensus_agent.reader.status_file import StatusBoard

    signals: list[int] = []

    def stop(number: int, _frame: object) -> None:
        signals.append(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    service.should_stop = lambda: bool(signals)
    collect_seldom()
    board = StatusBoard(service)
    result = service.sweep()
    board.swept(result)
    counters = result.coverage.counters
    print(
        f"swept in {result.seconds:.1f} s: {counted(counters.get('files', 0), 'file')},"
        f" {counters.get('files-opened', 0):,} opened, {counted(result.changes, 'change')},"
        f" {counted(len(result.coverage.gaps), 'gap')}"
    )
    if signals:
        print("stopped before the end; what was seen is stored", file=sys.stderr)
        board.write()
        return _STOPPED
    outcome = service.converse()
    if outcome.reason == "rekeyed":
        outcome = service.converse()
    board.talked(outcome)
    board.write()
    if signals and outcome.reason == "stopped":
        print("stopped while reporting; what was not acknowledged waits", file=sys.stderr)
        return _STOPPED
    if not outcome.ok:
        print(
            f"keycensus-agent: not reported ({outcome.reason}): {outcome.text}"
            f" Waiting in the outbox: {counted(service.outbox.count(), 'change')}.",
            file=sys.stderr,
        )
        return 3
    print(
        f"reported {counted(outcome.changes, 'change')} in"
        f" {counted(outcome.batches, 'batch', 'batches')},"
        f" {counted(outcome.blobs, 'blob')}, {outcome.refused:,} refused"
    )
    return 0


def _dry_run(config: Config) -> int:
    """Print what one sweep would send, and leave the state as it is."""
    from keycensus_agent.reader.report.dry_run import lines
    from keycensus_agent.reader.service import ReaderService
    from keycensus_agent.reader.state import State

    state = State.in_memory(config.state_database)
    try:
        service = ReaderService(config, state)
        service.sweep()
        for line in lines(service):
            print(json.dumps(line, sort_keys=True))
    finally:
        state.close()
    return 0
