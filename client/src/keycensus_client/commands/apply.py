"""`keycensus apply`: make the collector what the files of a directory say, after showing how."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from keycensus_client.as_code.directory import read_directory
from keycensus_client.as_code.plan import plan, shown, summary
from keycensus_client.commands.session import connect
from keycensus_client.errors import ChangedError, MistakenError


@click.command("apply")
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--diff", is_flag=True, help="Only show what would be done; exit status 1 if anything."
)
@click.option("--prune", is_flag=True, help="Delete what is in no file.")
def command(*, directory: Path, diff: bool, prune: bool) -> None:
    """Make views, teams, people, rules and labels what the files below DIRECTORY say.

    All of it or nothing, told first; again, it does nothing.
    """
    found = read_directory(directory, prune=prune)
    with connect() as client:
        try:
            would = client.declare(found.body, check=True)
        except MistakenError as error:
            found.blame(error)
            raise
        steps = plan(would, found.files)
        for line in shown(steps, would):
            click.echo(line)
        to_do = any(step.what != "keep" for step in steps)
        click.echo(summary(steps, len(would.absent)))
        if diff:
            sys.exit(int(to_do))
        if not to_do:
            return
        try:
            client.declare(found.body, check=False, over=would.tag)
        except ChangedError:
            raise ChangedError(
                "somebody changed some of this at the collector meanwhile, so nothing was done: look again"
            ) from None
    click.echo("done")
