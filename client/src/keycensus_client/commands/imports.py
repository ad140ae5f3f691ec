"""`keycensus imports`: what was imported, by whom and when."""

from __future__ import annotations

import click

from keycensus_client.commands.session import connect, output_option
from keycensus_client.model import Import
from keycensus_client.output.cells import SHORT
from keycensus_client.output.files import field_titles, field_values, print_csv, print_json
from keycensus_client.output.table import Cell, Column, print_table

_COLUMNS = (
    Column("NUMBER", "right"),
    Column("KIND"),
    Column("SOURCE", fold=True),
    Column("ITEMS", "right"),
    Column("OF"),
    Column("IMPORTED"),
    Column("BY"),
    Column("REPLACED"),
    Column("FILE"),
)


@click.command("imports")
@click.option("--replaced", is_flag=True, help="Those that later ones replaced, too.")
@output_option
def command(*, replaced: bool, output: str) -> None:
    """List what was imported, the newest first."""
    with connect() as client:
        found = client.imports(replaced=replaced)
    if output == "json":
        print_json(found)
    elif output == "csv":
        titles = field_titles(Import)
        print_csv(titles, (field_values(each, titles) for each in found))
    elif not found:
        click.echo("no imports")
    else:
        print_table(_COLUMNS, [_row(each) for each in found])


def _row(each: Import) -> tuple[Cell | str, ...]:
    return (
        str(each.number),
        each.kind,
        each.source,
        f"{each.items:,}",
        each.taken or "-",
        each.since or "-",
        each.by,
        each.until or "",
        Cell(each.sha256[:SHORT], "dim"),
    )
