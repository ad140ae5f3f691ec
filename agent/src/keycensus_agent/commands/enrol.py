"""`keycensus-agent enrol`: a token becomes this host's identity.

Runs with network and the identity directory. The token comes from a file or standard input, never
from the command line, where every user of the host could read it.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import os
import stat
import sys
from pathlib import Path

from keycensus_agent.config import Config, load_config
from keycensus_agent.errors import UsageError
from keycensus_agent.host_facts import gather, machine_prints
from keycensus_agent.text import safe_path, safe_text

# A clock that is further off spoils certificates sooner or later.
_CLOCK_SKEW_SECONDS = 300
_STANDARD_INPUT = "-"


def run(arguments: argparse.Namespace) -> int:
    """Enrol this host; returns 0, also if it was enrolled there already.

    Arguments: `collector` ("host[:port]"), `token_file` (a path, "-" for standard input), `config`
    and `state_dir` as in every command. KeycensusError for what a person must mend.
    """
    config = load_config(
        Path(arguments.config) if arguments.config else None,
        state_directory=Path(arguments.state_dir) if arguments.state_dir else None,
    )
    text = _token_text(arguments.token_file)

    # Late: mistakes above need none of gRPC and cryptography.
    from keycensus_agent.link.enrol import enrol
    from keycensus_agent.link.token import parse_token
    from keycensus_agent.reader.convert import encode_host_facts

    facts = gather(config.scan.root, config.labels, config.scan.roots)
    outcome = asyncio.run(
        enrol(
            config,
            arguments.collector,
            parse_token(text),
            encode_host_facts(facts),
            machine=machine_prints(),
            now=dt.datetime.now(dt.UTC),
        )
    )
    identity = outcome.identity
    deployment = safe_text(identity.deployment)
    if not outcome.changed:
        print(
            f'already enrolled at "{deployment}" as agent {identity.agent_id}; nothing was changed '
            "and the token was not used (to enrol anew: `keycensus-agent leave` first)"
        )
        return 0
    if outcome.put_aside:
        where = safe_path(os.fsencode(outcome.put_aside))
        _warn(f"an identity of another machine was here; it was put aside as {where}")
    if abs(outcome.clock_skew_seconds) > _CLOCK_SKEW_SECONDS:
        _warn(
            f"this host's clock differs from the collector's by {outcome.clock_skew_seconds} s: "
            "set it, or certificates will be refused"
        )
    print(f'enrolled at "{deployment}" ({identity.report_address})')
    print(f"host {identity.host_id}, agent {identity.agent_id}")
    print(f"certificate valid until {identity.not_after:%Y-%m-%d %H:%M} UTC; it renews itself")
    if arguments.token_file != _STANDARD_INPUT:
        print(f"the token in {_shown(arguments.token_file)} is spent, the file can be removed")
    print(_next_step(config))
    return 0


def _next_step(config: Config) -> str:
    if config.link.socket is not None:
        return "next: start the agent (`systemctl enable --now keycensus-agent`)"
    where = _shown(str(config.state.directory))
    return f"next: start the agent (`keycensus-agent run`); its state is in {where}"


def _token_text(name: str) -> str:
    # As much as a token can have, and a little more so that a longer one is noticed.
    limit = 4096
    if name == _STANDARD_INPUT:
        if sys.stdin.isatty():
            print("token: ", end="", file=sys.stderr, flush=True)
        return sys.stdin.readline(limit)
    try:
        with Path(name).open("rb") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & stat.S_IRWXO:
                _warn(f"other users can read the token in {_shown(name)}: chmod 0600 next time")
            return file.read(limit).decode("ascii", "replace")
    except OSError as error:
        raise UsageError(
            f"the token file {_shown(name)} can't be read: {error.strerror}; "
            "give --token-file FILE, or - for standard input"
        ) from error


def _shown(name: str) -> str:
    return safe_path(os.fsencode(name))


def _warn(text: str) -> None:
    print(f"keycensus-agent: {text}", file=sys.stderr)
