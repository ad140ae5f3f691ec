"""`keycensus people`: who there is, who belongs where, who leaves."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from keycensus_client.commands.session import as_of_option, connect, output_option
from keycensus_client.output.cells import day
from keycensus_client.output.files import print_items
from keycensus_client.output.table import Column, print_table
from keycensus_client.owners import Left, Person, Roster
from keycensus_client.rest import path

_PEOPLE = (
    Column("NAME"),
    Column("FULL NAME", fold=True),
    Column("E-MAIL", fold=True),
    Column("TEAMS", fold=True),
    Column("STATE"),
)


# Names told of each kind.
_SHOWN = 20


@click.group("people")
def command() -> None:
    """Say who there is: people, their teams, and what they held when they leave."""


@command.command("list")
@click.option("--state", type=click.Choice(["active", "left"]), help="Who is there; who left.")
@click.option("--without-team", is_flag=True, help="Who is there, and in no team.")
@as_of_option
@output_option
def list_(*, state: str | None, without_team: bool, as_of: str | None, output: str) -> None:
    """List people with their teams."""
    asked = {"state": state, "without_team": without_team or None, "as_of": as_of}
    with connect() as client:
        found = client.ask(list[Person], path("people"), asked)
    rows = [(p.name, p.full_name, p.email, _teams(p), _state(p)) for p in found]
    print_items(output, found, Person, "no people", partial(print_table, _PEOPLE, rows))


@command.command("add")
@click.argument("name")
@click.option("--full-name", metavar="TEXT", default="", help="As people know them.")
@click.option("--email", metavar="ADDRESS", default="", help="Also finds who signs in elsewhere.")
@click.option("--contact", metavar="TEXT", default="", help="Telephone, chat.")
@click.option("--user", metavar="USER", default="", help="Their local user, if of another name.")
@click.option("--subject", metavar="TEXT", default="", help="Their subject in OpenID Connect.")
def add(**values: str) -> None:
    """Add a person, change what is known of one, or let one who left come back."""
    name = values.pop("name")
    with connect() as client:
        person = client.tell(Person, "PUT", path("people", name), values)
    click.echo(f"{person.name} is {_state(person)}")


@command.command("leave")
@click.argument("name")
@click.option(
    "--to",
    metavar="TEAM",
    default="",
    help="Who takes what they hold. [default: the fallback team]",
)
@click.option("--preview", is_flag=True, help="Say what would move, and change nothing.")
def leave(*, name: str, to: str, preview: bool) -> None:
    """Let somebody leave: what they held moves, their user and tokens end."""
    with connect() as client:
        body = {"to": to, "preview": preview}
        left = client.tell(Left, "POST", path("people", name, "leave"), body)
    click.echo(f"{left.name} {'has left' if left.done else 'would leave'}")
    click.echo(f"  teams: {', '.join(left.teams) or 'none'}")
    click.echo(f"  held alone: {left.alone.text if left.alone else 'nothing'}")
    for team, held in left.last.items():
        click.echo(f"  team {team} has nobody else; it held: {held.text}")
    if left.moves_to:
        click.echo(f"  what was held {'went' if left.done else 'would go'} to {left.moves_to}")
    if left.users:
        users = ", ".join(left.users)
        click.echo(f"  user {users} disabled, {left.tokens} API token(s) revoked")


@command.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--format",
    "format_",
    type=click.Choice(["csv", "json", "ldif"]),
    help="What FILE is. [default: as its name ends]",
)
@click.option("--to", metavar="TEAM", default="", help="Who takes what leavers hold.")
@click.option("--yes", "sure", is_flag=True, help="The list is whole, however many leave.")
@click.option("--preview", is_flag=True, help="Say who would come and leave, and change nothing.")
def import_(*, file: Path, format_: str | None, to: str, sure: bool, preview: bool) -> None:
    """Take a list of everybody: who is missing in it has left."""
    kind = format_ or file.suffix.removeprefix(".").lower()
    if kind not in {"csv", "json", "ldif"}:
        raise click.UsageError("say what the file is: --format csv, json or ldif")
    try:
        text = file.read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise click.UsageError(f"{file} is no UTF-8 text") from None
    body = {"format": kind, "text": text, "to": to, "sure": sure, "preview": preview}
    with connect() as client:
        found = client.tell(Roster, "POST", path("people"), body)
    would = "" if found.done else "would be "
    for what, names in (
        (f"{would}added", found.added),
        (f"{would}changed", found.changed),
        ("left" if found.done else "would leave", found.leaving),
    ):
        click.echo(f"{len(names):,} {what}" + (f": {_some(names)}" if names else ""))


def _teams(person: Person) -> str:
    by_groups = set(person.by_groups)
    return ", ".join(f"{each} (by group)" if each in by_groups else each for each in person.teams)


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _state(person: Person) -> str:
    return f"left {day(person.left)}" if person.state == "left" else person.state
