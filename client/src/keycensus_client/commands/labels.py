"""`keycensus labels`: what hosts and certificates are for, and who says so."""

from __future__ import annotations

from typing import Any

import click

from keycensus_client.commands.session import connect, output_option
from keycensus_client.editing import edit, meant, things_options
from keycensus_client.identity import resolve
from keycensus_client.model import Label
from keycensus_client.output.files import field_titles, field_values, print_csv, print_json
from keycensus_client.output.table import Column, print_table
from keycensus_client.owners import LabelsOf
from keycensus_client.rest import path

_LABELS = (Column("LABEL"), Column("VALUE", fold=True), Column("WHY", fold=True))
_LISTS = ("certificates", "hosts")


@click.group("labels")
def command() -> None:
    """Say what hosts and certificates are for: labels, and why they have them."""


@command.command("show")
@click.argument("id")
@output_option
def show(*, id: str, output: str) -> None:  # noqa: A002 - the argument's name, as in the usage
    """Show the labels of a host or certificate, and why it has them."""
    identity = resolve(id)
    with connect() as client:
        found = client.ask(
            LabelsOf, path("labels"), {"id": identity.id, "kind": identity.kind or None}
        )
    if output == "json":
        print_json(found)
    elif output == "csv":
        titles = field_titles(Label)
        print_csv(titles, (field_values(each, titles) for each in found.labels))
    else:
        click.echo(f"{found.kind} {found.name}")
        print_table(_LABELS, [(each.key, each.value, each.why) for each in found.labels])


@command.command("set")
@click.argument("label")
@things_options(_LISTS, "hosts")
def set_(*, label: str, **things: Any) -> None:  # noqa: ANN401 - as meant has them
    """Set LABEL, as key=value, on IDs or on all that a query lists."""
    key, equals, value = label.partition("=")
    if not equals:
        raise click.UsageError("write the label as key=value")
    edit(meant(**things), {"key": key, "value": value}, f"labelled {label}", "labels")


@command.command("unset")
@click.argument("key")
@things_options(_LISTS, "hosts")
def unset(*, key: str, **things: Any) -> None:  # noqa: ANN401 - as meant has them
    """Take off what was said by hand: the other sources count again."""
    edit(meant(**things), {"key": key, "value": None}, f"rid of label {key}", "labels")
