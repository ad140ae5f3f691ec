"""`keycensus-collector host succeeds`: a host is an earlier one, installed anew."""

from __future__ import annotations

from pathlib import Path

import click

from keycensus_collector.cli.options import config_option, output_option
from keycensus_collector.cli.output import show_result
from keycensus_collector.cli.running import call


@click.command()
@click.argument("old", metavar="OLD")
@click.argument("new", metavar="NEW")
@config_option
@output_option
def succeeds(*, old: str, new: str, config_file: Path, output: str) -> None:
    """Say that host NEW is host OLD, installed anew.

    What NEW's agents report is OLD's from here on, with OLD's history; OLD's own agents are evicted,
    and NEW is retired. Both are an id, the beginning of one, or a name.
    """
    result = call(config_file, "host.succeeds", {"old": old, "new": new})
    text = f"host {result['name']} ({result['new']}) reports as host {result['id']} from here on"
    show_result(result, text, output)
