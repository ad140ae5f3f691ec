"""`keycensus tokens`: one's own API tokens."""

from __future__ import annotations

import os
from pathlib import Path

import click

from keycensus_client.account import ApiToken, NewToken
from keycensus_client.commands.session import connect, now, output_option
from keycensus_client.errors import UsageError
from keycensus_client.output.cells import ago, day
from keycensus_client.output.files import field_titles, field_values, print_csv, print_json
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
    if output == "json":
        print_json(found)
    elif output == "csv":
        titles = field_titles(ApiToken)
        print_csv(titles, (field_values(each, titles) for each in found))
    else:
        print_table(_COLUMNS, [_row(each) for each in found])


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
    descriptor = None if output_file is None else _new_file(output_file)
    try:
        with connect() as client:
            made = client.tell(NewToken, "POST", path("tokens"), body)
    except BaseException:
        if output_file is not None and descriptor is not None:
            os.close(descriptor)
            output_file.unlink()
        raise
    if descriptor is None:
        click.echo(made.token)
        click.echo(f"token {made.id}, good until {made.expires}", err=True)
        return
    with os.fdopen(descriptor, "w") as file:
        file.write(made.token + "\n")
    click.echo(f"{output_file}: token {made.id}, good until {made.expires}")


@command.command("revoke")
@click.argument("id")
def revoke(*, id: str) -> None:  # noqa: A002 - the argument's name, as in the usage
    """End a token now, for good."""
    with connect() as client:
        client.delete(path("tokens", id))
    click.echo(f"revoked {id}")


def _new_file(file: Path) -> int:
    """Make a file for this user alone before there is a secret to put into it."""
    try:
        return os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except OSError as error:
        raise UsageError(f"{file} can't be made: {error.strerror}; name another file") from None


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
