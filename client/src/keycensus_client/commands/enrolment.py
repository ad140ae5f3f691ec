"""`keycensus enrolment`: the tokens with which hosts enrol."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from keycensus_client.agents import EnrolmentToken, NewEnrolmentToken
from keycensus_client.commands.session import connect, output_option
from keycensus_client.output.cells import day
from keycensus_client.output.files import print_items
from keycensus_client.output.secrets import keep_secret
from keycensus_client.output.table import Cell, Column, Row, print_table
from keycensus_client.rest import path

_COLUMNS = (
    Column("ID"),
    Column("STATE"),
    Column("USES LEFT", "right"),
    Column("LABELS", fold=True),
    Column("FOR HOST", fold=True),
    Column("CREATED"),
    Column("EXPIRES"),
    Column("BY"),
)


@click.group("enrolment")
def command() -> None:
    """List, make and revoke the tokens with which hosts enrol. For operators and admins."""


@command.command("list")
@click.option("--open", "only_open", is_flag=True, help="Only those that let somebody in.")
@output_option
def list_(*, only_open: bool, output: str) -> None:
    """List them, the newest first, with what is left of them."""
    with connect() as client:
        at = path("enrolment-tokens")
        found = client.ask(list[EnrolmentToken], at, {"open": only_open})
    print_items(output, found, EnrolmentToken, "no tokens", partial(_print, found))


@command.command("create")
@click.option("--minutes", type=click.IntRange(min=1), help="So long it lets in.  [default: 60]")
@click.option("--uses", type=click.IntRange(min=1), default=1, show_default=True, help="Hosts.")
@click.option(
    "--label",
    "labels",
    metavar="KEY=VALUE",
    multiple=True,
    help="What the collector shall say of these hosts; again for more.",
)
@click.option("--for-host", metavar="HOST", default="", help="Lets in only this host, anew.")
@click.option(
    "--output-file",
    type=click.Path(path_type=Path),
    help="Write it there, for you alone, instead of printing it.",
)
def create(
    *,
    minutes: int | None,
    uses: int,
    labels: tuple[str, ...],
    for_host: str,
    output_file: Path | None,
) -> None:
    """Make a token. It is shown this once: keycensus-agent enrol --token-file takes it."""
    for each in labels:
        if "=" not in each:
            raise click.UsageError(f"{each!r} is no label: write KEY=VALUE")
    body = {
        "uses": uses,
        "labels": dict(each.split("=", 1) for each in labels),
        "for_host": for_host,
        **({} if minutes is None else {"minutes": minutes}),
    }
    with keep_secret(output_file) as keep:
        with connect() as client:
            made = client.tell(NewEnrolmentToken, "POST", path("enrolment-tokens"), body)
        keep(made.token, f"token {made.id}, lets in until {made.expires}")


@command.command("revoke")
@click.argument("id")
def revoke(*, id: str) -> None:  # noqa: A002 - the argument's name, as in the usage
    """End a token now. Who enrolled with it stays."""
    with connect() as client:
        client.delete(path("enrolment-tokens", id))
    click.echo(f"revoked {id}")


def _print(found: list[EnrolmentToken]) -> None:
    rows: list[Row] = [
        (
            each.id,
            Cell(each.state, "" if each.state == "open" else "dim"),
            f"{each.uses_left:,}",
            " ".join(f"{key}={value}" for key, value in each.labels.items()),
            each.host,
            day(each.created),
            day(each.expires),
            each.created_by,
        )
        for each in found
    ]
    print_table(_COLUMNS, rows)
