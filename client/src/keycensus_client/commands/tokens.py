"""`keycensus tokens`: one's own API tokens."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from keycensus_client.account import ApiToken, NewToken
from keycensus_client.commands.session import connect, now, output_option
from keycensus_client.output.cells import ago, day
from keycensus_client.output.files import print_items
from keycensus_client.output.secrets import keep_secret
from keycensus_client.output.table import Cell, Column, Row, print_table
from keycensus_client.rest import path

_COLUMNS = (
    Column("ID"),
    Column("NAME", fold=True),
    Column("STATE"),
    Column("MAY", fold=True),
    Column("TEAMS", fold=True),
    Column("CREATED"),
    Column("EXPIRES"),
    Column("LAST USED"),
)


@click.group("tokens")
def command() -> None:
    """List, make and revoke one's own API tokens."""


@command.command("list")
@output_option
def list_(*, output: str) -> None:
    """List them, the newest first, with when each was used last, to the hour."""
    with connect() as client:
        found = client.ask(list[ApiToken], path("tokens"))
    rows = [_row(each) for each in found]
    print_items(output, found, ApiToken, "no tokens", partial(print_table, _COLUMNS, rows))


@command.command("create")
@click.argument("name")
@click.option("--days", type=click.IntRange(1, 3_660), default=90, show_default=True, help="Life.")
@click.option(
    "--may",
    "permissions",
    multiple=True,
    metavar="PERMISSION",
    help="What it may, as in inventory.read; again for more.  [default: all that you may]",
)
@click.option(
    "--output-file",
    type=click.Path(path_type=Path),
    help="Write it there, for you alone, instead of printing it.",
)
def create(*, name: str, days: int, permissions: tuple[str, ...], output_file: Path | None) -> None:
    """Make a token for yourself; NAME says what it is for. It is shown this once."""
    body = {"name": name, "days": days, "permissions": list(permissions) or None}
    with keep_secret(output_file) as keep:
        with connect() as client:
            made = client.tell(NewToken, "POST", path("tokens"), body)
        keep(made.token, f"token {made.id}, good until {made.expires}")


@command.command("revoke")
@click.argument("id")
def revoke(*, id: str) -> None:  # noqa: A002 - the argument's name, as in the usage
    """End a token now, for good."""
    with connect() as client:
        client.delete(path("tokens", id))
    click.echo(f"revoked {id}")


def _row(each: ApiToken) -> Row:
    return (
        each.id,
        each.name,
        Cell(each.state, "" if each.state == "good" else "dim"),
        "all you may" if each.permissions is None else ", ".join(each.permissions),
        "all you see" if each.teams is None else ", ".join(each.teams),
        day(each.created),
        day(each.expires),
        ago(each.last_used, now()),
    )
