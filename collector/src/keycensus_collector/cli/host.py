"""`keycensus-collector host`: the machines that agents report on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from keycensus_collector.cli.options import config_option, output_option
from keycensus_collector.cli.output import show_result, show_rows
from keycensus_collector.cli.running import call


@click.group()
def host() -> None:
    """Hosts: list, retire, succeeds."""


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
    rows = call(config_file, "host.list", {})
    show_rows(rows, columns, output)
    if output != "json":
        for row in rows:
            _tell(row)


def _tell(row: dict[str, Any]) -> None:
    """Print, below the table, what a person should look at."""
    for each in row["may_succeed"]:
        click.echo(
            f"{row['name']} may be {each['name']} ({each['state']}) installed anew, by its "
            f"{' and '.join(each['same'])}: keycensus-collector host succeeds {each['id']} {row['id']}"
        )
    if row["warning"]:
        click.echo(f"{row['name']} ({row['id']}): {row['warning']}")


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
