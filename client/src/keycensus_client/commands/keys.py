"""`keycensus keys`: private keys, where they are and who can read them."""

from __future__ import annotations

from typing import Any

import click

from keycensus_client.commands.session import (
    collect,
    connect,
    effective_limit,
    limit_option,
    output_option,
    query_options,
    say_rest,
    sort_option,
)
from keycensus_client.groups import by_option
from keycensus_client.model import Key, Place
from keycensus_client.output.cells import SHORT, private_key
from keycensus_client.output.files import field_titles, field_values, print_csv, print_json
from keycensus_client.output.owners import owner_cell
from keycensus_client.output.table import Cell, Column, Row, print_table

_COLUMNS = (
    Column("KEY", merge=True),
    Column("CERTIFICATE", fold=True, merge=True),
    Column("HOST"),
    Column("PATH", fold=True),
    Column("MODE"),
    Column("OWNER"),
    Column("USE"),
    Column("ENCRYPTED"),
    Column("ID", merge=True),
)
_RENEWS = Column("RENEWS", fold=True, merge=True)
_WORLD = 0o004


@click.command("keys")
@click.option("--without-certificate", is_flag=True, help="No certificate of it was found.")
@click.option(
    "--readable-by",
    type=click.Choice(["world", "group"]),
    help="Its file's mode lets everybody, or at least its group, read it.",
)
@click.option("--host", metavar="NAME", help="On this host; * stands for anything.")
@click.option("--path", metavar="PATH", help="At this path or below it; * stands for anything.")
@click.option("--algorithm", metavar="NAME", help="rsa, ec, ed25519, …")
@click.option("--encrypted/--plain", default=None, help="Only encrypted at rest, or only not.")
@click.option("--sealed/--readable", default=None, help="Only with an unknown public half, or not.")
@click.option(
    "--status",
    type=click.Choice(["live", "retained", "any"]),
    show_default="live; with a query, what it says",
    help="In use somewhere; old copies only; either.",
)
@by_option("keys")
@query_options
@sort_option("id")
@output_option
@limit_option
def command(
    *,
    output: str,
    limit: int | None,
    without_certificate: bool,
    **filters: Any,  # noqa: ANN401 - options as click gives them
) -> None:
    """List private keys with their places."""
    with connect() as client:
        items, total, exact = collect(
            client.all_keys(
                effective_limit(limit, output),
                without_certificate=without_certificate or None,
                **filters,
            )
        )
    if output == "json":
        print_json(items)
    elif output == "csv":
        titles = field_titles(Key, without=("places",))
        rows = (
            [*field_values(item, titles), [f"{p.host}:{p.path}" for p in item.places]]
            for item in items
        )
        print_csv([*titles, "places"], rows)
    elif not items:
        click.echo("no keys")
    else:
        rows_of = [row for item in items for row in _rows(item)]
        if any(item.owners for item in items):
            owners = [owner_cell(item) for item in items for _ in item.places]
            paired = zip(rows_of, owners, strict=True)
            print_table((*_COLUMNS, _RENEWS), [(*row, owner) for row, owner in paired])
        else:
            print_table(_COLUMNS, rows_of)
        say_rest(len(items), total, exact=exact, what="keys")


def _rows(item: Key) -> list[Row]:
    names = ", ".join(item.certificates) or ("unknown" if item.kind != "private-key" else "none")
    return [
        (
            private_key(item) + (", a known test key" if item.known_key else ""),
            Cell(names, "yellow" if names == "none" else ""),
            place.host,
            place.path,
            Cell(place.mode, "red" if _is_open(place) else ""),
            place.owner,
            Cell(place.use, "dim" if place.use == "retained" else ""),
            "yes" if place.encrypted or item.kind != "private-key" else "no",
            Cell(item.id[:SHORT], "dim"),
        )
        for place in item.places
    ]


def _is_open(place: Place) -> bool:
    """Whether everybody can read the file: as its agent found, or by the mode if it does not say."""
    if place.readable_by:
        return place.readable_by == "world"
    return bool(int(place.mode or "0", 8) & _WORLD)
