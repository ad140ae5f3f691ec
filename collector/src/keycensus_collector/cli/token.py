"""`keycensus-collector token`: secrets that let hosts in."""

from __future__ import annotations

from pathlib import Path

import click

from keycensus_collector.cli.options import Duration, Label, config_option, output_option
from keycensus_collector.cli.output import show_result, show_rows, time_text
from keycensus_collector.cli.running import call, write_secret


@click.group()
def token() -> None:
    """Tokens by which hosts enrol."""


@token.command()
@click.option("--ttl", type=Duration(), default="1h", show_default=True, help="Time to live.")
@click.option("--uses", type=int, default=1, show_default=True, help="How many hosts it lets in.")
@click.option(
    "--host",
    "bound",
    metavar="HOST",
    help="Let in only this host, installed anew: who enrols with the token becomes it.",
)
@click.option("--label", "labels", type=Label(), multiple=True, metavar="KEY=VALUE")
@click.option(
    "--output-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the token to FILE, mode 0600, instead of printing it.",
)
@config_option
@output_option
def create(
    *,
    ttl: int,
    uses: int,
    bound: str | None,
    labels: tuple[tuple[str, str], ...],
    output_file: Path | None,
    config_file: Path,
    output: str,
) -> None:
    """Make a token and show it, this once."""
    arguments = {"ttl_ms": ttl, "uses": uses, "labels": dict(labels), "host": bound}
    made = call(config_file, "token.create", arguments)
    if output_file is None:
        show_result(made, made["token"], output)
        return
    write_secret(output_file, made.pop("token"))
    text = f"{output_file}: token {made['id']}, good until {time_text(made['expires_ms'])}"
    show_result(made, text, output)


@token.command("list")
@config_option
@output_option
def list_tokens(*, config_file: Path, output: str) -> None:
    """List tokens, without their secrets."""
    columns = (
        ("id", "ID"),
        ("state", "STATE"),
        ("uses_left", "USES LEFT"),
        ("expires", "EXPIRES"),
        ("labels", "LABELS"),
    )
    show_rows(call(config_file, "token.list", {}), columns, output)


@token.command()
@click.argument("token_id", metavar="ID")
@config_option
@output_option
def revoke(*, token_id: str, config_file: Path, output: str) -> None:
    """End a token now."""
    result = call(config_file, "token.revoke", {"id": token_id})
    show_result(result, f"token {token_id} is revoked", output)
