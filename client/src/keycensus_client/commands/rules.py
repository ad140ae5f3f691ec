"""`keycensus rules`: a file that says whose things are; tried, applied, shown."""

from __future__ import annotations

from pathlib import Path

import click

from keycensus_client.commands.session import as_of_option, connect, output_option
from keycensus_client.errors import UsageError
from keycensus_client.output.files import field_titles, field_values, print_csv, print_json
from keycensus_client.output.table import Column, print_table
from keycensus_client.owners import Applied, RuleFile, Tried, TriedRule
from keycensus_client.rest import path

_FILE = click.argument(
    "file", type=click.Path(exists=True, dir_okay=False, path_type=Path, allow_dash=False)
)


_RULES = (Column("RULE", fold=True), Column("DECIDES", "right"), Column("CHANGES", "right"))


@click.group("rules")
def command() -> None:
    """Try and apply rules, which say whose things are."""


@command.command("show")
@as_of_option
def show(*, as_of: str | None) -> None:
    """Print the file of rules in force."""
    with connect() as client:
        found = client.ask(RuleFile, path("rules"), {"as_of": as_of})
    click.echo(
        f"# version {found.version}, applied {found.applied} by {found.applied_by}", err=True
    )
    click.echo("\n".join(found.lines))


@command.command("try")
@_FILE
@output_option
def try_(*, file: Path, output: str) -> None:
    """Say what the rules in FILE would do, and change nothing. As CSV: of each rule."""
    with connect() as client:
        tried = client.tell(Tried, "POST", path("rules", "trial"), {"text": _read(file)})
    if output == "json":
        print_json(tried)
        return
    if output == "csv":
        titles = field_titles(TriedRule)
        print_csv(titles, (field_values(each, titles) for each in tried.by_rule))
        return
    click.echo(
        f"{tried.rules:,} rules would assign {tried.assigned:,}, change {tried.changed:,}, "
        f"end {tried.ended:,}, conflict {tried.conflicts:,}; {tried.kept_by_hand:,} stay as given by hand"
    )
    for sample in (*tried.samples, *(f"conflict: {each}" for each in tried.conflict_samples)):
        click.echo(f"  {sample}")
    if tried.by_rule:
        rows = [(each.rule, f"{each.decides:,}", f"{each.changes:,}") for each in tried.by_rule]
        print_table(_RULES, rows)
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
