"""`--by`: how many of what a query lists have which value, instead of the list."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click
from click.core import ParameterSource

from keycensus_client.commands.session import TABLE_LIMIT, connect
from keycensus_client.model import Group, Groups
from keycensus_client.output.files import field_titles, field_values, print_csv, print_json
from keycensus_client.output.table import Column, print_table

_COLUMNS = (Column("VALUE", fold=True), Column("COUNT", "right"), Column("QUERY", fold=True))
# As many groups as the collector tells.
_MOST = 1_000


def by_option(list_: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add `--by DIMENSION` to the command of a list; it goes with `-q`, `--as-of` and `--limit`."""

    def add(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def either(*, by: str | None, **options: Any) -> None:  # noqa: ANN401 - options as click gives them
            if by is None:
                command(**options)
            else:
                _check_alone(options)
                _show(list_, by, **{name: options[name] for name in _BESIDE})

        return click.option(
            "--by",
            metavar="DIMENSION",
            help="How many there are of each: issuer, owner, label.KEY, …; a wrong one names all.",
        )(either)

    return add


_BESIDE = ("q", "as_of", "output", "limit")


def _check_alone(options: dict[str, Any]) -> None:
    context = click.get_current_context()
    sources = {name: context.get_parameter_source(name) for name in options}
    others = [
        name
        for name, source in sources.items()
        if name not in _BESIDE and source is not ParameterSource.DEFAULT
    ]
    if others:
        raise click.UsageError(
            "--by counts what a query lists: say in -q what the other options say"
        )


def _show(
    list_: str, by: str, *, q: str | None, as_of: str | None, output: str, limit: int | None
) -> None:
    most = min((TABLE_LIMIT if limit is None else limit) or _MOST, _MOST)
    with connect() as client:
        found = client.groups(list_, by=by, q=q, as_of=as_of, limit=most)
    if output == "json":
        print_json(found)
    elif output == "csv":
        titles = field_titles(Group)
        print_csv(titles, (field_values(each, titles) for each in found.groups))
    elif not found.groups:
        click.echo(f"no {list_}")
    else:
        _print(list_, found)


def _print(list_: str, found: Groups) -> None:
    rows = [(each.value or "(empty)", f"{each.count:,}", each.query) for each in found.groups]
    print_table(_COLUMNS, rows)
    said = f"{found.total:,} {list_} by {found.by}, as of {found.as_of or 'now'}"
    if found.overlapping:
        said += "; one may be in several groups, or in none"
    click.echo(said, err=True)
    if found.left_out:
        click.echo(f"{found.left_out:,} more groups; --limit 0 shows up to {_MOST:,}", err=True)
