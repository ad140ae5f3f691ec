"""`keycensus-collector agent rekey`: each machine that shares an identity gets one of its own."""

from __future__ import annotations

from pathlib import Path

import click

from keycensus_collector.cli.options import Duration, config_option, output_option
from keycensus_collector.cli.output import show_result, time_text
from keycensus_collector.cli.running import call
from keycensus_collector.errors import UsageError


@click.command()
@click.argument("name", metavar="[AGENT]", required=False)
@click.option("--all-clones", is_flag=True, help="Every agent that is in state cloned.")
@click.option(
    "-q",
    "--query",
    metavar="QUERY",
    help="Every agent in state cloned of the hosts that a query finds, such as host:web*.",
)
@click.option(
    "--keep",
    metavar="MACHINE",
    help="The machine that stays this host: its boot, name or address from agent show.",
)
@click.option(
    "--within", type=Duration(), default="7d", show_default=True, help="How long they may come."
)
@click.option(
    "--copies", type=int, default=2000, show_default=True, help="How many, of each agent, may come."
)
@config_option
@output_option
def rekey(
    *,
    name: str | None,
    all_clones: bool,
    query: str | None,
    keep: str | None,
    within: int,
    copies: int,
    config_file: Path,
    output: str,
) -> None:
    """Give each machine that shares an identity one of its own, at its next contact.

    The shared identity ends. Machines become new hosts, but for the one named by --keep. They fetch
    their identities by themselves, with a proof of the key that they share; nobody who is banned can.
    """
    if sum((name is not None, all_clones, query is not None)) != 1:
        raise UsageError("give one AGENT, or --all-clones, or -q QUERY")
    arguments = {
        "agent": name,
        "all_clones": all_clones,
        "query": query,
        "keep": keep,
        "within_ms": within,
        "copies": copies,
    }
    result = call(config_file, "agent.rekey", arguments)
    count = len(result["agents"])
    text = (
        f"{count} shared identities have ended, {result['machines']} machines of them were seen; each "
        f"gets one of its own when it comes before {time_text(result['until_ms'])}"
    )
    nobody = "no agent is in state cloned" + (" on the hosts of the query" if query else "")
    show_result(result, text if count else nobody, output)
