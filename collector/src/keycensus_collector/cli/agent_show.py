"""`keycensus-collector agent show`: one identity, and every machine that has used it."""

from __future__ import annotations

from pathlib import Path

import click

from keycensus_collector.cli.options import config_option, output_option
from keycensus_collector.cli.output import show_result, show_rows, time_text
from keycensus_collector.cli.running import call


@click.command()
@click.argument("name", metavar="AGENT")
@config_option
@output_option
def show(*, name: str, config_file: Path, output: str) -> None:
    """Show an agent with its certificates and the machines that said hello as it.

    Boots, names and machines are what those machines say of themselves; addresses are where they
    called from.
    """
    result = call(config_file, "agent.show", {"agent": name})
    if output == "json":
        show_result(result, "", output)
        return
    reason = f" ({result['reason']})" if result["reason"] else ""
    click.echo(f"agent {result['id']} of host {result['host']} ({result['host_id']})")
    click.echo(f"state {result['state']}{reason}, enrolled {time_text(result['enrolled_ms'])}")
    if result["rekey_until_ms"] is not None:
        click.echo(
            f"{result['identities_given']} machines have got identities of their own; "
            f"{result['rekey_copies_left']} more may until {time_text(result['rekey_until_ms'])}"
        )
    elif result["state"] in ("cloned", "rekeyed"):
        click.echo(
            "give each machine an identity of its own: keycensus-collector agent rekey "
            f"{result['id'][:8]} [--keep BOOT]"
        )
    columns = (
        ("boot", "BOOT"),
        ("name", "NAME"),
        ("address", "ADDRESS"),
        ("machine_start", "MACHINE"),
        ("verdict", "LAST VERDICT"),
        ("hellos", "HELLOS"),
        ("first_seen", "FIRST SEEN"),
        ("last_seen", "LAST SEEN"),
    )
    machines = [{**each, "machine_start": each["machine"][:12]} for each in result["machines"]]
    show_rows(machines, columns, output)
