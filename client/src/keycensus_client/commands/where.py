"""`keycensus where ID`: every place of one thing."""

from __future__ import annotations

import click

from keycensus_client.commands.session import connect, output_option, say_rest
from keycensus_client.errors import NotFoundError
from keycensus_client.identity import resolve
from keycensus_client.model import Place
from keycensus_client.output.cells import SHORT, day
from keycensus_client.output.files import field_titles, field_values, print_csv, print_json
from keycensus_client.output.revocation import revocation_cell
from keycensus_client.output.table import Cell, Column, print_table
from keycensus_client.output.usages import print_usages

_COLUMNS = (
    Column("HOST"),
    Column("PATH", fold=True),
    Column("USE"),
    Column("ROLE"),
    Column("MODE"),
    Column("OWNER"),
    Column("HOLDS", fold=True),
    Column("SINCE"),
)


@click.command("where")
@click.argument("id")
@output_option
def command(*, id: str, output: str) -> None:  # noqa: A002 - the argument's name, as in the usage
    """List every place of what ID names.

    ID is a SHA-256 or SHA-1 fingerprint in any spelling (or its first 8 digits), a serial, a key's id,
    a host, a PEM or DER file, or host:port of a TLS server.
    """
    identity = resolve(id)
    with connect() as client:
        found = client.where(identity.id, identity.kind)
    if output == "json":
        print_json(found)
    elif output == "csv":
        titles = field_titles(Place)
        print_csv(titles, (field_values(place, titles) for place in found.places))
    else:
        click.echo(f"{found.kind} {found.name}  {found.id[:SHORT]}")
        if found.revocation is not None and found.revocation.status == "yes":
            click.echo(revocation_cell(found.revocation).text)
        if found.places:
            print_places(found.places)
        print_usages(found.usages)
        say_rest(len(found.places), found.total, exact=True, what="places")
    if not (found.places or found.usages):
        raise NotFoundError(f"{found.name} is known, but stands nowhere now")


def print_places(places: list[Place]) -> None:
    """Print places as a table; whose package they are, and who installs there, only if one is known."""
    packaged = any(place.package for place in places)
    owned = any(place.place_owner for place in places)
    columns = [
        *_COLUMNS,
        *([Column("PACKAGE", fold=True)] if packaged else []),
        *([Column("INSTALLS")] if owned else []),
    ]
    print_table(
        columns,
        [
            (
                place.host if place.scope == "host" else f"{place.host} ({place.scope})",
                f"{place.path} -> {place.target}" if place.target else place.path,
                Cell(place.use, "dim" if place.use == "retained" else ""),
                place.role,
                place.mode,
                place.owner,
                _holds(place),
                day(place.first_seen),
                *([f"{place.package} {place.package_version}".rstrip()] if packaged else []),
                *([place.place_owner] if owned else []),
            )
            for place in places
        ],
    )


def _holds(place: Place) -> str:
    kinds = ", ".join(place.kinds) or place.format
    members = ", ".join(dict.fromkeys(place.members))
    status = "" if place.status == "read" else f"; {place.status} {place.reason}".rstrip()
    if place.refused:
        status += f"; newer state refused: {place.refused}"
    return f"{kinds} ({members}){status}" if members else kinds + status
