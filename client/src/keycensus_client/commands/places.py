"""`keycensus places`: every name under which a file is reached, on all hosts."""

from __future__ import annotations

from functools import partial

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
from keycensus_client.commands.where import print_places
from keycensus_client.groups import by_option
from keycensus_client.model import Place
from keycensus_client.output.files import print_items


@click.command("places")
@by_option("places")
@query_options
@sort_option("place")
@output_option
@limit_option
def command(*, output: str, limit: int | None, **filters: str | None) -> None:
    """List places by host and path, whatever they hold."""
    with connect() as client:
        items, total, exact = collect(client.all_places(effective_limit(limit, output), **filters))
    print_items(output, items, Place, "no places", partial(print_places, items))
    if output == "table":
        say_rest(len(items), total, exact=exact, what="places")
