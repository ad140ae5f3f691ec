"""`keycensus views`: queries with a name, the collector's own and those that people saved."""

from __future__ import annotations

import importlib
import sys

import click

from keycensus_client.commands.session import as_of_option, connect, limit_option, output_option
from keycensus_client.model import View
from keycensus_client.output.files import field_titles, field_values, print_csv, print_json
from keycensus_client.output.table import Cell, Column, print_facts, print_table

_COLUMNS = (
    Column("NAME"),
    Column("LIST"),
    Column("TOTAL", "right"),
    Column("QUERY", fold=True),
    Column("DESCRIPTION", fold=True),
)
# The command that shows each list.
_COMMANDS = {
    "certificates": "certs",
    "keys": "keys",
    "places": "places",
    "hosts": "hosts",
    "gaps": "gaps",
}


@click.group("views")
def command() -> None:
    """List, run, save and delete views: queries with a name."""


@command.command("list")
@output_option
def list_(*, output: str) -> None:
    """List all views, with how many each shows now."""
    with connect() as client:
        views = client.views(counts=True)
    if output == "json":
        print_json(views)
    elif output == "csv":
        titles = field_titles(View)
        print_csv(titles, (field_values(view, titles) for view in views))
    else:
        print_table(
            _COLUMNS,
            [(v.name, v.what, _total(v), v.query or v.problem, v.description) for v in views],
        )


@command.command("show")
@click.argument("name")
def show(*, name: str) -> None:
    """Show what a view asks, and who saved it."""
    with connect() as client:
        view = client.view(name)
    facts: list[tuple[str, Cell | str]] = [
        ("description", view.description),
        ("list", view.what),
        ("query", view.query or view.problem),
        ("columns", ", ".join(view.columns) or "all"),
        ("saved", f"{view.saved} by {view.saved_by}" if view.saved else "comes with the program"),
    ]
    print_facts(facts, f"view {view.name}")


@command.command("run")
@click.argument("name")
@as_of_option
@output_option
@limit_option
@click.pass_context
def run(
    context: click.Context, *, name: str, as_of: str | None, output: str, limit: int | None
) -> None:
    """Show what a view lists. CSV has the view's columns."""
    with connect() as client:
        view = client.view(name)
        if output == "csv" and view.columns and limit is None:
            columns = ",".join(view.columns)
            for text in client.export(
                view.what, q=view.query, as_of=as_of, format="csv", columns=columns
            ):
                sys.stdout.write(text)
            return
    module = importlib.import_module(f"keycensus_client.commands.{_COMMANDS[view.what]}")
    context.invoke(module.command, q=view.query, as_of=as_of, output=output, limit=limit)


@command.command("save")
@click.argument("name")
@click.option("-q", "--query", metavar="QUERY", required=True, help="What it lists.")
@click.option(
    "--list",
    "list_",
    type=click.Choice(list(_COMMANDS)),
    default="certificates",
    show_default=True,
    help="The list that is asked.",
)
@click.option("--description", metavar="TEXT", default="", help="What it is for.")
@click.option("--column", "columns", metavar="NAME", multiple=True, help="Shown in CSV, in order.")
def save(*, name: str, query: str, list_: str, description: str, columns: tuple[str, ...]) -> None:
    """Save a query under a name, over the view that has it."""
    with connect() as client:
        view = client.save_view(name, list_, query, description, list(columns))
    click.echo(f"saved view {view.name}: {view.query or 'everything'}")


@command.command("delete")
@click.argument("name")
def delete(*, name: str) -> None:
    """Delete a saved view."""
    with connect() as client:
        client.delete_view(name)
    click.echo(f"deleted view {name}")


def _total(view: View) -> str:
    if view.total is None:
        return ""
    return f"{view.total:,}" if view.total_is_exact else f"{view.total:,}+"
