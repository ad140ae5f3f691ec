"""`keycensus-collector serve`: the server, in the foreground."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keycensus_collector.cli.options import config_option
from keycensus_collector.cli.running import write_secret

if TYPE_CHECKING:
    from keycensus_collector.serve import Bound


@click.command()
@click.option(
    "--ready-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="When listening, write the addresses to FILE as JSON.",
)
@config_option
def serve(*, ready_file: Path | None, config_file: Path) -> None:
    """Serve agents and people until SIGTERM or Ctrl-C."""
    import asyncio

    from keycensus_collector import logs
    from keycensus_collector import serve as server
    from keycensus_collector.clock import SystemClock
    from keycensus_collector.config import load

    configuration = load(config_file)
    logs.set_up(configuration.log.level, configuration.log.format)

    def announce(bound: Bound) -> None:
        if ready_file is not None:
            addresses = {**bound.as_text(), "pid": os.getpid()}
            write_secret(ready_file, json.dumps(addresses))
        if sys.stdout.isatty():
            click.echo(
                f"Listening: agents join at {bound.enrol} and report to {bound.report}; people: "
                f"https://{bound.web}. Ctrl-C ends."
            )

    asyncio.run(server.serve(configuration, SystemClock(), server.standard_parts(), announce))
