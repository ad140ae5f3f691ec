"""`keycensus-collector host`: the machines that agents report on."""

from __future__ import annotations

from pathlib import Path

import click

from keycensus_collector.cli.options import config_option, output_option
from keycensus_collector.cli.output import show_result, show_rows
from keycensus_collector.cli.running import call


@click.group()
def host() -> None:
    """Hosts: list, retire."""


@host.command("list")
@config_option
@output_option
def list_hosts(*, config_file: Path, output: str) -> None:
    """List every host."""
    columns = (
        ("id", "HOST"),
        ("name", "NAME"),
        ("state", "STATE"),
        ("last_seen", "LAST SEEN"),
        ("complete", "COMPLETE"),
        ("operating_system", "SYSTEM"),
        ("labels", "LABELS"),
    )
    show_rows(call(config_file, "host.list", {}), columns, output)


@host.command()
@click.argument("name", metavar="HOST")
@config_option
@output_option
def retire(*, name: str, config_file: Path, output: str) -> None:
    """Retire a host: its agents are evicted, its last inventory stays, marked.

    HOST is an id, the beginning of one, or a name.
    """
    result = call(config_file, "host.retire", {"host": name})
    show_result(result, f"host {result['name']} ({result['id']}) is retired", output)
