"""What every command that asks the collector shares: credentials, output format, limits."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

import click

from keycensus_client.credentials import load
from keycensus_client.rest import Client

_Function = TypeVar("_Function", bound=Callable[..., Any])
_Item = TypeVar("_Item")
_Item_co = TypeVar("_Item_co", covariant=True)

# Rows of a table when nothing else is said; scripts get everything.
TABLE_LIMIT = 100
# What can be asked.
LISTS = ("certificates", "keys", "places", "hosts")


def connect() -> Client:
    """Return a client with the credentials of the environment or of `login`."""
    return Client(load(os.environ))


def now() -> datetime:
    """Return the time by which tables say what expires when."""
    return datetime.now(UTC)


def output_option(function: _Function) -> _Function:
    """Add `-o table|json|csv`."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(["table", "json", "csv"]),
        default="table",
        show_default=True,
        help="Table for people; JSON or CSV for scripts.",
    )(function)


def text_or_json_option(function: _Function) -> _Function:
    """Add `-o table|json`, for what is no list."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(["table", "json"]),
        default="table",
        show_default=True,
        help="Text for people; JSON for scripts.",
    )(function)


def list_option(lists: Sequence[str], default: str) -> Callable[[_Function], _Function]:
    """Add `--list`: which list a query is asked of."""
    return click.option(
        "--list",
        "what",
        type=click.Choice(lists),
        default=default,
        show_default=True,
        help="The list that is asked.",
    )


def as_of_option(function: _Function) -> _Function:
    """Add `--as-of DAY`."""
    option = click.option(
        "--as-of", metavar="DAY", help="As it was known then: 2026-09-30, 7d ago."
    )
    return option(function)


def query_options(function: _Function) -> _Function:
    """Add `-q QUERY` and `--as-of DAY`."""
    query = click.option(
        "-q",
        "--query",
        "q",
        metavar="QUERY",
        help="What a query lists, as in 'expires<30d host:web*'; options hold besides.",
    )
    return query(as_of_option(function))


def sort_option(usual: str) -> Callable[[_Function], _Function]:
    """Add `--sort`. `usual`: how the list is sorted without it."""
    return click.option(
        "--sort",
        metavar="NAME",
        help=f"By what, as columns of -o csv are called; -NAME from the end.  [default: {usual}]",
    )


def limit_option(function: _Function) -> _Function:
    """Add `--limit`."""
    return click.option(
        "--limit",
        type=click.IntRange(min=0),
        default=None,
        help=f"At most so many; 0 for all.  [default: {TABLE_LIMIT} in a table, else all]",
    )(function)


def effective_limit(limit: int | None, output: str) -> int | None:
    """Return how many items to ask for; None for all."""
    if limit is None:
        return TABLE_LIMIT if output == "table" else None
    return limit or None


class _PageOf(Protocol[_Item_co]):
    """One page of a list, as the model has it for each kind of item."""

    @property
    def items(self) -> Sequence[_Item_co]: ...

    @property
    def total(self) -> int: ...

    @property
    def total_is_exact(self) -> bool: ...


def collect(pages: Iterable[_PageOf[_Item]]) -> tuple[list[_Item], int, bool]:
    """Return the items of all pages, how many there are in all, and whether that is exact."""
    items: list[_Item] = []
    total, exact = 0, True
    for page in pages:
        items += page.items
        total, exact = page.total, page.total_is_exact
    return items, total, exact


def say_rest(shown: int, total: int, *, exact: bool, what: str) -> None:
    """Say on standard error how many there are, where not all are shown."""
    if shown < total or not exact:
        all_ = f"{total:,}" if exact else f"more than {total:,}"
        click.echo(f"{shown:,} of {all_} {what} shown; --limit 0 shows all", err=True)
