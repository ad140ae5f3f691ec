"""`keycensus hosts`: who reports, since when, and what could not be looked at."""

from __future__ import annotations

from functools import partial

import click

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
from keycensus_client.errors import UsageError
from keycensus_client.groups import by_option
from keycensus_client.model import Host
from keycensus_client.output.cells import ago
from keycensus_client.output.files import print_items
from keycensus_client.output.table import Cell, Column, print_table

_COLUMNS = (
    Column("NAME", fold=True),
    Column("STATE"),
    Column("LAST SEEN"),
    Column("CERTS", "right"),
    Column("KEYS", "right"),
    Column("PLACES", "right"),
    Column("GAPS", "right"),
    Column("REFUSED", "right"),
    Column("SYSTEM", fold=True),
    Column("AGENT"),
    Column("ID"),
)
_STYLES = {"silent": "yellow", "retired": "dim"}


@click.command("hosts")
@click.option(
    "--state",
    type=click.Choice(["active", "silent", "retired", "imported", "known"]),
    help="In this state.",
)
@click.option("--name", metavar="TEXT", help="A part of the name; * stands for anything.")
@click.option(
    "--without-agent", is_flag=True, help="Named by imported lists, and no agent reports."
)
@by_option("hosts")
@query_options
@sort_option("name")
@output_option
@limit_option
def command(*, output: str, limit: int | None, without_agent: bool, **filters: str | None) -> None:
    """List hosts by name."""
    if without_agent:
        if filters["state"]:
            raise UsageError("--without-agent says itself which state is meant: leave --state out")
        filters["state"] = "known"
    with connect() as client:
        items, total, exact = collect(client.all_hosts(effective_limit(limit, output), **filters))
    print_items(output, items, Host, "no hosts", partial(_print, items), without=("labels",))
    if output == "table":
        say_rest(len(items), total, exact=exact, what="hosts")


def _print(items: list[Host]) -> None:
    moment = now()
    rows = [
        (
            item.name,
            Cell(item.state, _STYLES.get(item.state, "")),
            ("of " if item.imported else "") + ago(item.last_seen, moment),
            str(item.certificates),
            str(item.keys),
            str(item.live_places + item.retained_places),
            Cell(str(item.gaps), "yellow" if item.gaps else ""),
            Cell(str(item.refused), "yellow" if item.refused else ""),
            item.operating_system,
            item.agent_version,
            Cell(item.id, "dim"),
        )
        for item in items
    ]
    if any(item.place_owner for item in items):
        owned = zip(rows, items, strict=True)
        columns = (*_COLUMNS, Column("INSTALLS"))
        print_table(columns, [(*row, item.place_owner) for row, item in owned])
    else:
        print_table(_COLUMNS, rows)
