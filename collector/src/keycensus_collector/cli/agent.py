"""`keycensus-collector agent`: enrolled identities."""

from __future__ import annotations

from pathlib import Path

import click

from keycensus_collector.cli.options import config_option, output_option
from keycensus_collector.cli.output import show_result, show_rows
from keycensus_collector.cli.running import call


@click.group()
def agent() -> None:
    """Agents: list, show, ban, unban, evict, rekey."""


@agent.command("list")
@config_option
@output_option
def list_agents(*, config_file: Path, output: str) -> None:
    """List every agent that ever enrolled."""
    columns = (
        ("id", "AGENT"),
        ("host", "HOST"),
        ("state", "STATE"),
        ("copies", "MACHINES"),
        ("last_seen", "HOST LAST SEEN"),
        ("certificate_ends", "CERTIFICATE ENDS"),
    )
    show_rows(call(config_file, "agent.list", {}), columns, output)


@agent.command()
@click.argument("name", metavar="AGENT")
@click.option("--reason", default="", help="Why, for the record.")
@config_option
@output_option
def ban(*, name: str, reason: str, config_file: Path, output: str) -> None:
    """Shut an agent's host out for good: its streams end, none of its identities comes back.

    AGENT is an id, the beginning of one, or the name of its host.
    """
    result = call(config_file, "agent.ban", {"agent": name, "reason": reason})
    show_result(result, f"agent {result['id']} is banned", output)


@agent.command()
@click.argument("name", metavar="AGENT")
@config_option
@output_option
def unban(*, name: str, config_file: Path, output: str) -> None:
    """Let a banned agent in again with the certificate it has."""
    result = call(config_file, "agent.unban", {"agent": name})
    show_result(result, f"agent {result['id']} is active", output)


@agent.command()
@click.argument("name", metavar="AGENT")
@click.option("--reason", default="", help="Why, for the record.")
@config_option
@output_option
def evict(*, name: str, reason: str, config_file: Path, output: str) -> None:
    """End an agent's identity; its host may enrol again with a new token."""
    result = call(config_file, "agent.evict", {"agent": name, "reason": reason})
    show_result(result, f"agent {result['id']} is evicted", output)
