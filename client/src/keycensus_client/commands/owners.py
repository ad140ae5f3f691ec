"""`keycensus owners`: teams, and who owns what."""

from __future__ import annotations

from typing import Any

import click

from keycensus_client.commands.session import LISTS, as_of_option, connect, output_option
from keycensus_client.editing import edit, meant, things_options
from keycensus_client.identity import resolve
from keycensus_client.output.cells import day
from keycensus_client.output.files import field_titles, field_values, print_csv, print_json
from keycensus_client.output.table import Column, print_facts, print_table
from keycensus_client.owners import Dissolved, Fallback, OwnersOf, Team
from keycensus_client.rest import path

_TEAMS = (
    Column("TEAM"),
    Column("MEMBERS", fold=True),
    Column("CONTACT", fold=True),
    Column("DESCRIPTION", fold=True),
)
_OWNERS = (
    Column("OWNER"),
    Column("SINCE"),
    Column("WHY", fold=True),
    Column("REACH", fold=True),
)


@click.group("owners")
def command() -> None:
    """Say who owns what: teams, what they are given, and why."""


@command.command("teams")
@click.option("--all", "everything", is_flag=True, help="Also those that are dissolved.")
@as_of_option
@output_option
def teams(*, everything: bool, as_of: str | None, output: str) -> None:
    """List teams with their members."""
    with connect() as client:
        found = client.ask(list[Team], path("teams"), {"all": everything, "as_of": as_of})
    if output == "json":
        print_json(found)
    elif output == "csv":
        titles = field_titles(Team, without=("held",))
        print_csv(titles, (field_values(team, titles) for team in found))
    else:
        rows = [
            (
                team.name + (f" (dissolved {day(team.dissolved)})" if team.dissolved else ""),
                ", ".join(team.members) or ("a person" if team.person else "nobody"),
                team.contact,
                team.description,
            )
            for team in found
        ]
        print_table(_TEAMS, rows)


@command.command("team")
@click.argument("name")
@as_of_option
def team(*, name: str, as_of: str | None) -> None:
    """Show a team, and what it holds."""
    with connect() as client:
        _print_team(client.ask(Team, path("teams", name), {"as_of": as_of}))


@command.command("create")
@click.argument("name")
@click.option("--description", metavar="TEXT", help="What the team is for.")
@click.option("--contact", metavar="TEXT", help="How to reach all of it.")
def create(*, name: str, description: str | None, contact: str | None) -> None:
    """Make a team, or change what is said of it."""
    with connect() as client:
        body = {"description": description, "contact": contact}
        _print_team(client.tell(Team, "PUT", path("teams", name), body))


@command.command("rename")
@click.argument("name")
@click.argument("new")
def rename(*, name: str, new: str) -> None:
    """Give a team another name; what it owns stays its own."""
    with connect() as client:
        _print_team(client.tell(Team, "POST", path("teams", name, "rename"), {"name": new}))


@command.command("dissolve")
@click.argument("name")
@click.option(
    "--into",
    metavar="TEAM",
    default="",
    help="Who takes what it held. [default: the fallback team]",
)
@click.option("--preview", is_flag=True, help="Say what would move, and change nothing.")
def dissolve(*, name: str, into: str, preview: bool) -> None:
    """End a team; what it held moves to another one."""
    with connect() as client:
        body = {"into": into, "preview": preview}
        told = client.tell(Dissolved, "POST", path("teams", name, "dissolve"), body)
    click.echo(f"{'dissolved' if told.done else 'would dissolve'} team {name}")
    click.echo(f"  members: {', '.join(told.members) or 'nobody'}")
    click.echo(f"  it held: {told.text}")
    if told.moves_to:
        click.echo(f"  that {'is' if told.done else 'would be'} {told.moves_to}'s now")


@command.command("join")
@click.argument("team_name", metavar="TEAM")
@click.argument("person")
def join(*, team_name: str, person: str) -> None:
    """Let a person belong to a team."""
    with connect() as client:
        _print_team(client.tell(Team, "PUT", path("teams", team_name, "members", person), {}))


@command.command("part")
@click.argument("team_name", metavar="TEAM")
@click.argument("person")
def part(*, team_name: str, person: str) -> None:
    """Take a person out of a team."""
    with connect() as client:
        client.delete(path("teams", team_name, "members", person))
    click.echo(f"{person} is in team {team_name} no more")


@command.command("show")
@click.argument("id")
@output_option
def show(*, id: str, output: str) -> None:  # noqa: A002 - the argument's name, as in the usage
    """Show whose a certificate, key or host is, and why."""
    identity = resolve(id)
    with connect() as client:
        found = client.ask(
            OwnersOf, path("owners"), {"id": identity.id, "kind": identity.kind or None}
        )
    if output == "json":
        print_json(found)
        return
    titles = ["owner", "how", "why", "since", "contact", "people"]
    if output == "csv":
        print_csv(titles, (field_values(owner, titles) for owner in found.owners))
        return
    click.echo(f"{found.kind} {found.name}")
    if not found.owners:
        click.echo("nobody owns it")
        return
    rows = [
        (
            each.owner,
            day(each.since),
            each.why,
            ", ".join([*([each.contact] if each.contact else []), *each.people]),
        )
        for each in found.owners
    ]
    print_table(_OWNERS, rows)


@command.command("set")
@click.argument("owner")
@things_options(LISTS, "certificates")
@click.option("--reason", metavar="TEXT", required=True, help="Why; whoever asks is told.")
def set_(*, owner: str, reason: str, **things: Any) -> None:  # noqa: ANN401 - as meant has them
    """Give IDs, or all that a query lists, to a team or person."""
    edit(meant(**things), {"owner": owner, "reason": reason}, f"given to {owner}", "owners")


@command.command("unset")
@things_options(LISTS, "certificates")
def unset(**things: Any) -> None:  # noqa: ANN401 - as meant has them
    """Take back what was given by hand: rules and places say again whose it is."""
    edit(meant(**things), {"owner": None}, "taken back", "owners")


@command.command("fallback")
@click.argument("team_name", metavar="[TEAM]", required=False)
@click.option("--none", "nobody", is_flag=True, help="Have no fallback team.")
def fallback(*, team_name: str | None, nobody: bool) -> None:
    """Show or set the team that answers for what nobody owns."""
    with connect() as client:
        if team_name or nobody:
            body = {"team": "" if nobody else team_name}
            found = client.tell(Fallback, "PUT", path("fallback"), body)
        else:
            found = client.ask(Fallback, path("fallback"))
    click.echo(f"fallback team: {found.team or 'none'}")


def _print_team(found: Team) -> None:
    facts = [
        ("description", found.description or "-"),
        ("contact", found.contact or "-"),
        ("members", ", ".join(found.members) or ("a person" if found.person else "nobody")),
        ("holds", found.held.text if found.held else "-"),
    ]
    if found.dissolved:
        facts.append(("dissolved", found.dissolved))
    print_facts(facts, f"team {found.name}")
