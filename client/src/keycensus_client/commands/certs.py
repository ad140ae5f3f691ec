"""`keycensus certs`: certificates by the date on which they expire."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any

import click
from click.core import ParameterSource

from keycensus_client.commands.session import (
    collect,
    connect,
    effective_limit,
    limit_option,
    now,
    output_option,
    query_options,
    say_rest,
    sort_option,
)
from keycensus_client.groups import by_option
from keycensus_client.model import Certificate, Place
from keycensus_client.output.cells import SHORT, certificate_key, expires_in, urgency
from keycensus_client.output.files import print_items
from keycensus_client.output.owners import owner_cell
from keycensus_client.output.table import Cell, Column, Row, print_table
from keycensus_client.output.usages import notes_of

_COLUMNS = (
    Column("NAME", fold=True),
    Column("EXPIRES IN"),
    Column("ISSUER", fold=True),
    Column("PLACES", "right"),
    Column("HOSTS", "right"),
    Column("KEY"),
    Column("FINGERPRINT"),
)
_WEIGHT = Column("IMPORTANCE", "right")
_RENEWS = Column("RENEWS", fold=True)
_NOTES = Column("NOTES", fold=True)
_PLACE_COLUMNS = (
    Column("NAME", fold=True, merge=True),
    Column("EXPIRES IN", merge=True),
    Column("HOST"),
    Column("PATH", fold=True),
    Column("USE"),
    Column("MODE"),
    Column("OWNER"),
    Column("FINGERPRINT", merge=True),
)


@click.command("certs")
@click.option("--expires-within", metavar="TIME", help="Valid, but not for longer: 36h, 30d, 4w.")
@click.option("--expired", is_flag=True, help="No longer valid.")
@click.option("--host", metavar="NAME", help="On this host; * stands for anything.")
@click.option("--issuer", metavar="TEXT", help="A part of the issuer's name.")
@click.option("--name", metavar="NAME", help="Common or alternative name; * stands for anything.")
@click.option("--path", metavar="PATH", help="At this path or below it; * stands for anything.")
@click.option(
    "--status",
    type=click.Choice(["live", "retained", "gone", "any"]),
    show_default="live; with a query, what it says",
    help="In use somewhere; old copies only; nowhere any more; any.",
)
@click.option("--ca/--leaf", "is_ca", default=None, help="Only authorities, or only others.")
@click.option("--without-key", is_flag=True, help="Whose private key was found nowhere.")
@click.option(
    "--verdict",
    type=click.Choice(["served", "not-reloaded", "served-but-not-on-disk", "served-another"]),
    help="Whose listeners were seen so; what they present, and what is on the disk instead.",
)
@click.option("--all", "everything", is_flag=True, help="Also those in trust stores only.")
@click.option("--places", is_flag=True, help="With the places of each.")
@by_option("certificates")
@query_options
@sort_option("expiry")
@output_option
@limit_option
def command(
    *,
    output: str,
    limit: int | None,
    everything: bool,
    expired: bool,
    **filters: Any,  # noqa: ANN401 - options as click gives them
) -> None:
    """List certificates, those that expire first at the top."""
    chosen = click.get_current_context().get_parameter_source("status")
    if filters["verdict"] and chosen is ParameterSource.DEFAULT:
        # What a listener presents may be live nowhere.
        filters["status"] = "any"
    with connect() as client:
        items, total, exact = collect(
            client.all_certificates(
                effective_limit(limit, output),
                include="trust-stores" if everything else None,
                expired=expired or None,
                **filters,
            )
        )
    table = partial(print_certificates, items, now(), with_places=filters["places"])
    print_items(output, items, Certificate, "no certificates", table, without=("places",))
    if output == "table":
        say_rest(len(items), total, exact=exact, what="certificates")


def print_certificates(
    items: list[Certificate], moment: datetime, *, with_places: bool, title: str = ""
) -> None:
    """Print certificates as a table, or their places under each."""
    if not items:
        click.echo("no certificates")
    elif with_places:
        rows = [row for item in items for row in _place_rows(item, moment)]
        print_table(_PLACE_COLUMNS, rows, title)
    else:
        columns = [*_COLUMNS]
        lines: list[list[Cell | str]] = [[*_row(item, moment)] for item in items]
        for column, cells in (
            (_WEIGHT, [Cell(str(item.importance or "")) for item in items]),
            (_RENEWS, [Cell(owner_cell(item)) for item in items]),
            (_NOTES, [notes_of(item) for item in items]),
        ):
            if any(cell.text for cell in cells):
                columns.append(column)
                for line, cell in zip(lines, cells, strict=True):
                    line.append(cell)
        print_table(columns, lines, title)


def _row(item: Certificate, moment: datetime) -> Row:
    return (
        item.name,
        Cell(expires_in(item.not_after, moment), urgency(item.not_after, moment)),
        "self-signed" if item.self_signed else item.issuer_name,
        str(item.live_places),
        str(item.hosts),
        certificate_key(item),
        Cell(item.sha256[:SHORT], "dim"),
    )


def _place_rows(item: Certificate, moment: datetime) -> list[Row]:
    expiry = Cell(expires_in(item.not_after, moment), urgency(item.not_after, moment))
    fingerprint = Cell(item.sha256[:SHORT], "dim")
    places: list[Place | None] = [*(item.places or [])] or [None]
    return [
        (
            item.name,
            expiry,
            place.host if place else "",
            place.path if place else "nowhere any more",
            Cell(place.use, "dim" if place.use == "retained" else "") if place else "",
            place.mode if place else "",
            place.owner if place else "",
            fingerprint,
        )
        for place in places
    ]
