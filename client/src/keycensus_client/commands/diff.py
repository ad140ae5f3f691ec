"""`keycensus diff DATE1 [DATE2]`: what differs between two dates in what a query lists."""

from __future__ import annotations

import click

from keycensus_client.commands.session import connect, output_option
from keycensus_client.model import Difference
from keycensus_client.output.cells import SHORT
from keycensus_client.output.files import print_csv, print_json
from keycensus_client.output.table import Cell, Column, print_table

_COLUMNS = (Column(""), Column("NAME", fold=True), Column("DETAIL", fold=True), Column("ID"))
_LISTS = ("certificates", "keys", "places", "hosts", "gaps")
_SIGNS = (("came", "+", "green"), ("gone", "-", "red"), ("changed", "~", "yellow"))


@click.command("diff")
@click.argument("since", metavar="DATE1")
@click.argument("until", metavar="[DATE2]", default="0h")
@click.option("-q", "--query", "q", metavar="QUERY", help="Only what it lists on either date.")
@click.option(
    "--list",
    "list_",
    type=click.Choice(_LISTS),
    default="certificates",
    show_default=True,
    help="What is compared.",
)
@output_option
def command(*, since: str, until: str, q: str | None, list_: str, output: str) -> None:
    """Show what came, went and changed between two dates; DATE2 is now unless told.

    A date is 2026-09-30, or an age as 30d.
    """
    with connect() as client:
        found = client.diff(list_, since, until, q)
    if output == "json":
        print_json(found)
        return
    rows = [
        (word, sign, style, each) for word, sign, style in _SIGNS for each in getattr(found, word)
    ]
    if output == "csv":
        print_csv(
            ["what", "name", "detail", "id"],
            ([word, each.name, each.detail, each.id] for word, _, _, each in rows),
        )
        return
    click.echo(_heading(found, list_))
    if rows:
        print_table(
            _COLUMNS,
            [
                (Cell(sign, style), each.name, each.detail, Cell(each.id[:SHORT], "dim"))
                for _, sign, style, each in rows
            ],
        )
    total = found.came_total + found.gone_total + found.changed_total
    if len(rows) < total:
        click.echo(f"{len(rows):,} of {total:,} shown: narrow the query for the rest", err=True)


def _heading(found: Difference, list_: str) -> str:
    return (
        f"{list_} from {found.since} to {found.until}: {found.came_total:,} came,"
        f" {found.gone_total:,} went, {found.changed_total:,} changed"
    )
