"""`keycensus-agent scan --bundle FILE`: what `run` would send, in a file; no state, no configuration.

It sweeps as the daemon does, into a state in memory, so that rows are made by the same code.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import BinaryIO

from keycensus_agent.commands.targets import Targets
from keycensus_agent.config import Config, ScanSettings, StateSettings
from keycensus_agent.errors import UsageError
from keycensus_agent.reader.report.bundle import salt_for, write_bundle
from keycensus_agent.reader.service import ReaderService
from keycensus_agent.reader.state import State
from keycensus_agent.text import safe_text

# Nothing is dropped here as it is while a collector is away: all of it goes into the file.
_NO_CAP_MIB = 1 << 20


def write(arguments: argparse.Namespace, targets: Targets, file: BinaryIO) -> bool:
    """Sweep, write the file, and say what is in it; whether everything could be looked at."""
    state = State.in_memory()
    try:
        service = ReaderService(_config(arguments, targets), state)
        facts = service.host_facts()
        state.put("salt", salt_for(facts))
        result = service.sweep()
        try:
            written = write_bundle(service, facts, file)
        except OSError as error:
            raise UsageError(
                f"--bundle {safe_text(arguments.bundle)}: {error.strerror}; the file is not whole"
            ) from None
    finally:
        state.close()
    gaps = len(result.coverage.gaps)
    print(
        f"{safe_text(arguments.bundle)}: {written.changes} rows and {written.blobs} certificates,"
        f" keys and the like of {safe_text(written.name)}, {gaps} gaps, {written.bytes:,} bytes;"
        " no key material"
    )
    if gaps:
        print("keycensus-agent: not all was seen: the file says what was not", file=sys.stderr)
    return result.complete and not gaps


def _config(arguments: argparse.Namespace, targets: Targets) -> Config:
    request = targets.request
    scan = ScanSettings(
        roots=request.roots,
        root=request.root,
        exclude=tuple(map(os.fsencode, arguments.exclude)),
        network_file_systems=request.network,
        password_file=Path(arguments.password_file) if arguments.password_file else None,
        try_default_passwords=arguments.try_default_passwords,
    )
    directory = Path(arguments.state_dir) if arguments.state_dir else StateSettings().directory
    return Config(scan=scan, state=StateSettings(directory, max_outbox_mib=_NO_CAP_MIB))
