"""`keycensus rules`: a file that says whose things are; tried, applied, shown."""

from __future__ import annotations

from pathlib import Path

import click

from keycensus_client.commands.session import connect
from keycensus_client.errors import UsageError
from keycensus_client.owners import Applied, RuleFile, Tried
from keycensus_client.rest import path

_FILE = click.argument(
    "file", type=click.Path(exists=True, dir_okay=False, path_type=Path, allow_dash=False)
)


@click.group("rules")
def command() -> None:
    """Try and apply rules, which say whose things are."""


@command.command("show")
def show() -> None:
    """Print the file of rules in force."""
    with connect() as client:
        found = client.ask(RuleFile, path("rules"))
    click.echo(
        f"# version {found.version}, applied {found.applied} by {found.applied_by}", err=True
    )
    click.echo("\n".join(found.lines))


@command.command("try")
@_FILE
def try_(*, file: Path) -> None:
    """Say what the rules in FILE would do, and change nothing."""
    with connect() as client:
        tried = client.tell(Tried, "POST", path("rules", "trial"), {"text": _read(file)})
    click.echo(
        f"{tried.rules:,} rules would assign {tried.assigned:,}, change {tried.changed:,}, "
        f"end {tried.ended:,}, conflict {tried.conflicts:,}; {tried.kept_by_hand:,} stay as given by hand"
    )
    for sample in (*tried.samples, *(f"conflict: {each}" for each in tried.conflict_samples)):
        click.echo(f"  {sample}")
    if not tried.complete:
        click.echo("the time was up before everything was looked at: there are more", err=True)


@command.command("apply")
@_FILE
def apply(*, file: Path) -> None:
    """Put the rules in FILE in force, instead of those before."""
    with connect() as client:
        done = client.tell(Applied, "PUT", path("rules"), {"text": _read(file)})
    click.echo(f"version {done.version}: {done.begun:,} rules begun, {done.ended:,} ended")


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"{file} is no UTF-8 text") from None
