"""`keycensus apply`: make the collector what the files of a directory say, after showing how."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from keycensus_client.as_code import views
from keycensus_client.as_code.documents import Mistakes
from keycensus_client.as_code.plan import shown, summary
from keycensus_client.commands.session import connect
from keycensus_client.errors import UsageError


@click.command("apply")
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--diff", is_flag=True, help="Only show what would be done; exit status 1 if anything."
)
@click.option("--prune", is_flag=True, help="Delete what is in no file.")
def command(*, directory: Path, diff: bool, prune: bool) -> None:
    """Make saved views what the files below DIRECTORY say. Told first; again, it does nothing."""
    file = directory / f"{views.KIND}.yaml"
    if not file.is_file():
        raise UsageError(f"there is no {file.name} in {directory}: keycensus export writes one")
    mistakes = Mistakes()
    with connect() as client:
        steps = views.plan(client, file, mistakes, prune=prune)
        mistakes.check(directory)
        for line in shown(steps):
            click.echo(line)
        to_do = [step for step in steps if step.what != "keep"]
        click.echo(summary(steps))
        if diff:
            sys.exit(int(bool(to_do)))
        for step in to_do:
            step.take()
    if to_do:
        click.echo("done")
