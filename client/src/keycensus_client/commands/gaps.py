"""`keycensus gaps`: where agents could not look, why, and since when."""

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
from keycensus_client.groups import by_option
from keycensus_client.model import HostGap
from keycensus_client.output.cells import ago
from keycensus_client.output.files import print_items
from keycensus_client.output.table import Column, print_table

_COLUMNS = (
    Column("HOST", merge=True),
    Column("WHERE", fold=True),
    Column("WHY"),
    Column("DETAIL", fold=True),
    Column("SINCE"),
)


@click.command("gaps")
@by_option("gaps")
@query_options
@sort_option("place")
@output_option
@limit_option
def command(*, output: str, limit: int | None, **filters: str | None) -> None:
    """List where agents could not look, and why."""
    with connect() as client:
        items, total, exact = collect(client.all_gaps(effective_limit(limit, output), **filters))
    moment = now()
    rows = [
        (item.host, item.prefix, item.reason, item.detail, ago(item.since, moment))
        for item in items
    ]
    print_items(output, items, HostGap, "no gaps", partial(print_table, _COLUMNS, rows))
    if output == "table":
        say_rest(len(items), total, exact=exact, what="gaps")
