"""`keycensus-collector audit`: what was done, and whether the log of it is whole."""

from __future__ import annotations

import time
from pathlib import Path

import click

from keycensus_collector.cli.options import Duration, config_option, output_option
from keycensus_collector.cli.output import show_result, show_rows
from keycensus_collector.cli.running import call

_BROKEN = 1


@click.group()
def audit() -> None:
    """List what was done, and verify that the log of it is whole."""


@audit.command("list")
@click.option("--actor", default="", help='Who: "user:NAME", "agent:UUID", "operator".')
@click.option("--action", default="", help="What, or the beginning of it, as in: session.")
@click.option("--subject", default="", help="To whom or what.")
@click.option("--since", type=Duration(), metavar="TIME", help="Not longer ago: 1h, 7d.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True)
@config_option
@output_option
def list_rows(
    *,
    actor: str,
    action: str,
    subject: str,
    since: int | None,
    limit: int,
    config_file: Path,
    output: str,
) -> None:
    """List what was done, the newest first."""
    arguments = {
        "actor": actor,
        "action": action,
        "subject": subject,
        "limit": limit,
        "since_ms": 0 if since is None else int(time.time() * 1000) - since,
    }
    columns = (
        ("number", "NUMBER"),
        ("at", "TIME"),
        ("actor", "ACTOR"),
        ("action", "ACTION"),
        ("subject", "SUBJECT"),
        ("detail", "DETAIL"),
    )
    show_rows(call(config_file, "audit.list", arguments), columns, output)


@audit.command()
@config_option
@output_option
def verify(*, config_file: Path, output: str) -> int:
    """Follow the chain of hashes; exit status 1 names the first row that is not as it was written."""
    found = call(config_file, "audit.verify", {})
    if found["broken_no"] is None:
        text = f"{found['rows']} rows are as they were written; the last hash: {found['last_hash']}"
        show_result(found, text, output)
        return 0
    text = f"row {found['broken_no']}: {found['problem']}; {found['rows']} rows before it are whole"
    show_result(found, text, output)
    return _BROKEN
