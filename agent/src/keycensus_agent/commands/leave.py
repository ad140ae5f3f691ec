"""`keycensus-agent leave`: tell the collector, then remove this host's identity.

Runs with network and the identity directory; `--purge` removes the reader's state as well.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
from pathlib import Path

from keycensus_agent.config import Config, load_config
from keycensus_agent.errors import StorageError
from keycensus_agent.host_facts import machine_prints
from keycensus_agent.text import safe_path


def run(arguments: argparse.Namespace) -> int:
    """Leave the deployment; returns 0.

    Arguments: `force` (remove here even if the collector can't be told), `purge` (remove the state
    too), `reason` (for people, may be empty), `config` and `state_dir` as in every command.
    LinkError (exit status 3) if the collector can't be told and `force` is not given.
    """
    config = load_config(
        Path(arguments.config) if arguments.config else None,
        state_directory=Path(arguments.state_dir) if arguments.state_dir else None,
    )
    from keycensus_agent.link.leave import leave

    reason = arguments.reason or "uninstalled"
    print(asyncio.run(leave(config, reason, force=arguments.force, machine=machine_prints())))
    if arguments.purge:
        print(_purge(config))
    return 0


def _purge(config: Config) -> str:
    directory = config.state_database.parent
    shown = safe_path(os.fsencode(directory))
    try:
        shutil.rmtree(directory)
    except FileNotFoundError:
        return f"there was no state in {shown}"
    except OSError as error:
        raise StorageError(
            f"the state in {shown} can't be removed: {error.strerror}; remove it by hand"
        ) from error
    return f"the state in {shown} was removed"
