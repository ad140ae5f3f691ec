"""`keycensus summary`: the counts to look at first."""

from __future__ import annotations

import click

from keycensus_client.commands.session import connect, output_option
from keycensus_client.model import Summary
from keycensus_client.output.files import field_titles, field_values, print_csv, print_json
from keycensus_client.output.table import Cell, print_facts


@click.command("summary")
@output_option
def command(*, output: str) -> None:
    """Show counts of hosts, certificates and keys, and what needs attention."""
    with connect() as client:
        summary = client.summary()
    if output == "json":
        print_json(summary)
    elif output == "csv":
        titles = field_titles(Summary, without=("hosts_by_state",))
        print_csv(titles, [field_values(summary, titles)])
    else:
        _print(summary)


def _print(summary: Summary) -> None:
    states = ", ".join(f"{count} {state}" for state, count in summary.hosts_by_state.items())
    facts: list[tuple[str, Cell | str]] = [
        ("hosts", f"{summary.hosts:,}" + (f" ({states})" if states else "")),
        ("places", f"{summary.places:,}"),
        ("certificates", f"{summary.certificates:,}"),
        ("  expired", _count(summary.expired, "red")),
        ("  expiring within 30 days", _count(summary.expiring_30_days, "yellow")),
        ("private keys", f"{summary.keys:,}"),
        ("  without a certificate", _count(summary.keys_without_certificate, "yellow")),
        ("  readable by everybody", _count(summary.keys_readable_by_world, "red")),
        ("locked files", _count(summary.locked_places, "yellow")),
        ("gaps", _count(summary.gaps, "yellow")),
    ]
    if summary.waiting:
        facts.append(("still being read", f"{summary.waiting:,}"))
    print_facts(facts, f"as of {summary.as_of or 'now'}")


def _count(count: int, style: str) -> Cell:
    return Cell(f"{count:,}", style if count else "")
