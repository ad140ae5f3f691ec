"""`keycensus coverage`: how much of the fleet was looked at, and why not all of it."""

from __future__ import annotations

import click

from keycensus_client.commands.session import as_of_option, connect, now, text_or_json_option
from keycensus_client.model import Coverage
from keycensus_client.output.cells import ago
from keycensus_client.output.files import print_json
from keycensus_client.output.table import Cell, Column, print_facts, print_table

_GAPS = (
    Column("NOT LOOKED AT"),
    Column("HOSTS", "right"),
    Column("GAPS", "right"),
    Column("QUERY", fold=True),
)
_PLACES = (Column("PLACES"), Column("COUNT", "right"), Column("QUERY", fold=True))


@click.command("coverage")
@as_of_option
@text_or_json_option
def command(*, as_of: str | None, output: str) -> None:
    """Show how much of the fleet was looked at: hosts, gaps by reason, places by status."""
    with connect() as client:
        found = client.coverage(as_of)
    if output == "json":
        print_json(found)
        return
    print_facts(_facts(found))
    if found.gaps:
        click.echo("")
        rows = [(g.reason, f"{g.hosts:,}", f"{g.gaps:,}", g.query) for g in found.gaps]
        print_table(_GAPS, rows)
    if found.places:
        click.echo("")
        print_table(_PLACES, [(p.status, f"{p.places:,}", p.query) for p in found.places])


def _facts(found: Coverage) -> list[tuple[str, Cell | str]]:
    states = ", ".join(f"{count:,} {state}" for state, count in found.hosts_by_state.items())
    facts: list[tuple[str, Cell | str]] = [
        ("hosts", f"{found.hosts:,}" + (f" ({states})" if states else "")),
        (
            "without agent",
            Cell(f"{found.without_agent:,}", "yellow" if found.without_agent else ""),
        ),
        ("looked at whole", _count(found.complete)),
        ("with gaps", Cell(f"{found.with_gaps:,}", "yellow" if found.with_gaps else "")),
        ("not finished", Cell(_count(found.unfinished), "yellow" if found.unfinished else "")),
    ]
    if found.refused_rows:
        facts.append(("rows not taken", Cell(f"{found.refused_rows:,}", "yellow")))
    if found.oldest_host:
        facts.append(("oldest report", f"{found.oldest_host}, {ago(found.oldest, now())}"))
    return facts


def _count(number: int | None) -> str:
    return "not known of a past day" if number is None else f"{number:,}"
