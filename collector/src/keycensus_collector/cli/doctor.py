"""`keycensus-collector doctor`: whether everything is as it should be."""

from __future__ import annotations

from pathlib import Path

import click

from keycensus_collector.cli.options import config_option, output_option
from keycensus_collector.cli.output import show_json


@click.command()
@config_option
@output_option
def doctor(*, config_file: Path, output: str) -> int:
    """Check database, certificates, disk, ports and queue; exit status 1 if something is wrong."""
    from keycensus_collector.clock import SystemClock
    from keycensus_collector.config import load
    from keycensus_collector.doctor import examine
    from keycensus_collector.doctor_database import FAIL

    checks = examine(load(config_file), SystemClock())
    if output == "json":
        show_json([{"check": c.name, "state": c.state, "text": c.text} for c in checks])
    else:
        for check in checks:
            click.echo(f"{check.state:<4}  {check.name}: {check.text}")
    return int(any(check.state == FAIL for check in checks))
