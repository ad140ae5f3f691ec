"""`keycensus-collector user`: people, their passwords and API tokens."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from keycensus_collector.cli.options import config_option, output_option
from keycensus_collector.cli.output import show_result, show_rows, time_text
from keycensus_collector.cli.running import call, write_secret

_PASSWORD_CHARACTERS = 2048


@click.group()
def user() -> None:
    """Users: add, list, passwd, token."""


@user.command()
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice(["viewer", "owner", "operator", "admin"]),
    default="viewer",
    show_default=True,
)
@config_option
@output_option
def add(*, name: str, role: str, config_file: Path, output: str) -> None:
    """Add a user without a password."""
    result = call(config_file, "user.add", {"name": name, "role": role})
    show_result(result, f"user {name} is added as {role}", output)


@user.command("list")
@config_option
@output_option
def list_users(*, config_file: Path, output: str) -> None:
    """List users."""
    columns = (
        ("name", "NAME"),
        ("role", "ROLE"),
        ("has_password", "PASSWORD"),
        ("created", "CREATED"),
        ("disabled", "DISABLED"),
    )
    show_rows(call(config_file, "user.list", {}), columns, output)


@user.command()
@click.argument("name")
@config_option
@output_option
def passwd(*, name: str, config_file: Path, output: str) -> None:
    """Set a password, read from standard input (asked for on a terminal)."""
    if sys.stdin.isatty():
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        password = sys.stdin.readline(_PASSWORD_CHARACTERS).rstrip("\n")
    result = call(config_file, "user.passwd", {"name": name, "password": password})
    show_result(result, f"the password of {name} is set", output)


@user.command()
@click.argument("name")
@click.option("--days", type=int, default=90, show_default=True, help="Time to live.")
@click.option("--token-name", default="", help="What the token is for, for the record.")
@click.option(
    "--output-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the token to FILE, mode 0600, instead of printing it.",
)
@config_option
@output_option
def token(
    *,
    name: str,
    days: int,
    token_name: str,
    output_file: Path | None,
    config_file: Path,
    output: str,
) -> None:
    """Make an API token for a user and show it, this once."""
    arguments = {"name": name, "days": days, "token_name": token_name}
    made = call(config_file, "user.token", arguments)
    if output_file is None:
        show_result(made, made["token"], output)
        return
    write_secret(output_file, made.pop("token"))
    text = f"{output_file}: API token {made['id']}, good until {time_text(made['expires_ms'])}"
    show_result(made, text, output)
