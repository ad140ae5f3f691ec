"""`keycensus imports`: what was imported, by whom and when."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar
from urllib.parse import quote

import click

from keycensus_client.commands.session import connect, output_option
from keycensus_client.model import Import, ListEntry, ListOfCertificates
from keycensus_client.output.cells import SHORT
from keycensus_client.output.files import field_titles, field_values, print_csv, print_json
from keycensus_client.output.table import Cell, Column, print_table
from keycensus_client.rest import PAGE_LIMIT, Client

_Item = TypeVar("_Item")

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
_LIST_COLUMNS = (
    Column("NAME", fold=True),
    Column("KIND"),
    Column("ENTRIES", "right"),
    Column("FOUND", "right"),
    Column("MISSING", "right"),
    Column("IMPORTED"),
    Column("BY"),
)
_ENTRY_COLUMNS = (
    Column("SERIAL", fold=True),
    Column("SUBJECT", fold=True),
    Column("STATE"),
    Column("EXPIRES"),
    Column("LISTED"),
    Column("CERTIFICATE"),
)


@click.command("imports")
@click.option("--replaced", is_flag=True, help="Those that later ones replaced, too.")
@click.option("--lists", is_flag=True, help="Lists of certificates, and how many were found.")
@click.option("--of", "name", metavar="NAME", help="What a list of an authority names.")
@click.option("--missing", is_flag=True, help="With --of: only whose certificate was not found.")
@output_option
def command(*, replaced: bool, lists: bool, name: str | None, missing: bool, output: str) -> None:
    """List what was imported, the newest first; or lists of certificates, and what they name."""
    if name is not None:
        with connect() as client:
            entries = _entries(client, name, missing=missing)
        _print(entries, ListEntry, _ENTRY_COLUMNS, _entry_row, output)
        return
    if lists:
        with connect() as client:
            known = client.ask(list[ListOfCertificates], "/certificate-lists")
        _print(known, ListOfCertificates, _LIST_COLUMNS, _list_row, output)
        return
    with connect() as client:
        found = client.imports(replaced=replaced)
    _print(found, Import, _COLUMNS, _row, output)


def _print(
    found: list[_Item],
    type_: type[_Item],
    columns: Sequence[Column],
    row: Callable[[_Item], tuple[Cell | str, ...]],
    output: str,
) -> None:
    if output == "json":
        print_json(found)
    elif output == "csv":
        titles = field_titles(type_)
        print_csv(titles, (field_values(each, titles) for each in found))
    elif not found:
        click.echo("nothing of that kind was imported" if type_ is not Import else "no imports")
    else:
        print_table(columns, [row(each) for each in found])


def _entries(client: Client, name: str, *, missing: bool) -> list[ListEntry]:
    path = f"/certificate-lists/{quote(name, safe='')}"
    entries: list[ListEntry] = []
    while True:
        asked: dict[str, str | int] = {
            "without_certificate": str(missing).lower(),
            "after": entries[-1].number if entries else 0,
            "limit": PAGE_LIMIT,
        }
        page = client.ask(list[ListEntry], path, asked)
        entries += page
        if len(page) < PAGE_LIMIT:
            return entries


def _list_row(each: ListOfCertificates) -> tuple[Cell | str, ...]:
    missing = each.entries - each.found
    return (
        each.name,
        each.kind,
        f"{each.entries:,}",
        f"{each.found:,}",
        Cell(f"{missing:,}", "yellow" if missing else ""),
        each.since or "-",
        each.by,
    )


def _entry_row(each: ListEntry) -> tuple[Cell | str, ...]:
    found = each.certificate[:SHORT] if each.certificate else Cell("not found yet", "yellow")
    return (
        each.serial or "-",
        each.subject or "-",
        each.state or "-",
        each.not_after or "-",
        each.since or "-",
        found,
    )


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
