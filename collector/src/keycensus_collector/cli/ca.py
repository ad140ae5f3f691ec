"""`keycensus-collector ca`: which authority signs, and the way to the next one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from keycensus_collector.cli.company import company_of
from keycensus_collector.cli.options import config_option, output_option
from keycensus_collector.cli.output import show_result, show_rows
from keycensus_collector.cli.running import call, put_next_authority

_strand_option = click.option(
    "--strand", type=int, metavar="N", help="Go on although exactly N agents are stranded by it."
)


@click.group()
def ca() -> None:
    """Certificate authority: status, next, drop, activate, retire."""


@ca.command()
@config_option
@output_option
def status(*, config_file: Path, output: str) -> None:
    """Show each authority, and which agents the next step would strand."""
    result = call(config_file, "ca.status", {})
    if output == "json":
        show_result(result, "", output)
        return
    columns = (
        ("state", "STATE"),
        ("subject", "SUBJECT"),
        ("anchor", "ANCHOR"),
        ("not_after", "VALID UNTIL"),
        ("sha256", "SHA-256"),
    )
    show_rows(result["certificates"], columns, output)
    _name(result["not_told"], "do not trust the next authority yet")
    _name(result["with_old_certificate"], "have no certificate of the current authority yet")


def _name(agents: list[dict[str, Any]], what: str) -> None:
    if agents:
        click.echo(f"\n{len(agents)} agents {what}:")
        columns = (
            ("id", "AGENT"),
            ("host", "HOST"),
            ("host_state", "HOST STATE"),
            ("last_seen", "LAST SEEN"),
        )
        show_rows(agents, columns, "table")


@ca.command("next")
@click.option(
    "--ca-cert", type=click.Path(path_type=Path), metavar="FILE", help="Use this CA (PEM)."
)
@click.option("--ca-key", type=click.Path(path_type=Path), metavar="FILE", help="Its key (PEM).")
@click.option(
    "--ca-passphrase-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="File with the passphrase of that key.",
)
@config_option
@output_option
def next_(
    *,
    ca_cert: Path | None,
    ca_key: Path | None,
    ca_passphrase_file: Path | None,
    config_file: Path,
    output: str,
) -> None:
    """Make or import the authority to come, and tell agents of it; nothing else changes yet."""
    company = company_of(ca_cert, ca_key, ca_passphrase_file)
    known = call(config_file, "ca.status", {})["certificates"]
    if company is not None and not any(each["state"] == "next" for each in known):
        put_next_authority(config_file, company)
    result = call(config_file, "ca.next", {"own": company is None})
    text = (
        f"{result['subject']} is next; agents learn of it when they report: ca status says who has"
    )
    show_result(result, text, output)


@ca.command()
@config_option
@output_option
def drop(*, config_file: Path, output: str) -> None:
    """Forget the authority to come, with its key."""
    result = call(config_file, "ca.drop", {})
    show_result(result, "there is no next authority any more", output)


@ca.command()
@_strand_option
@config_option
@output_option
def activate(*, strand: int | None, config_file: Path, output: str) -> None:
    """Let the next authority sign: certificates of the old one are accepted until ca retire.

    Refused while an agent does not trust it yet, for that agent would not be able to report any more.
    """
    result = call(config_file, "ca.activate", {"strand": strand})
    text = f"{result['subject']} signs from here on; {result['stranded']} agents are stranded"
    if result["tokens_void"]:
        text += (
            f". {result['tokens_void']} open tokens name the old authority and let nobody in any more: "
            "make others with: keycensus-collector token create"
        )
    show_result(result, text, output)


@ca.command()
@_strand_option
@config_option
@output_option
def retire(*, strand: int | None, config_file: Path, output: str) -> None:
    """Accept nothing of the old authority any more.

    Refused while an agent has no certificate of the current one; agents renew within 15 days.
    """
    result = call(config_file, "ca.retire", {"strand": strand})
    show_result(
        result, f"the old authority is retired; {result['stranded']} agents are stranded", output
    )
