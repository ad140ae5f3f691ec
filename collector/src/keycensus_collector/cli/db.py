"""`keycensus-collector db`: the database's revision."""

from __future__ import annotations

from pathlib import Path

import click

from keycensus_collector.cli.options import config_option, output_option
from keycensus_collector.cli.output import show_result
from keycensus_collector.cli.running import call


@click.group()
def db() -> None:
    """Show or upgrade the revision of the database."""


@db.command()
@config_option
@output_option
def status(*, config_file: Path, output: str) -> None:
    """Say which revision the database is at, and which this program wants."""
    from keycensus_collector import admin
    from keycensus_collector.config import load
    from keycensus_collector.store.engine import Store

    configuration = load(config_file)
    if admin.server_runs(configuration):
        result = call(config_file, "db.status", {})
    else:
        found = Store.revision_of(configuration.database_url)
        result = {
            "current": found.current,
            "newest": found.newest,
            "up_to_date": found.is_newest,
        }
    if result["up_to_date"]:
        text = f"the database is at revision {result['current']}, the newest"
    else:
        text = (
            f"the database is at revision {result['current'] or 'none'}, this program's newest is "
            f"{result['newest']}; serve upgrades it by itself, or: keycensus-collector db upgrade"
        )
    show_result(result, text, output)


@db.command()
@config_option
def upgrade(*, config_file: Path) -> None:
    """Bring the database to this program's revision, after copying a file; no server may run."""
    from keycensus_collector.config import load
    from keycensus_collector.store.engine import Store

    with Store.open(load(config_file).database_url, upgrade=True) as store:
        store.complete()
        click.echo(f"{store.name} is at revision {store.revision().current}, the newest")
