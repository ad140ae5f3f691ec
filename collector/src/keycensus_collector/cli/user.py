"""`keycensus-collector user`: people, their passwords and API tokens."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from keycensus_collector.cli.options import config_option, output_option
from keycensus_collector.cli.output import show_result, show_rows, time_text
from keycensus_collector.cli.running import call, write_secret
from keycensus_collector.config import load
from keycensus_collector.errors import UsageError

ROLES = ("viewer", "owner", "operator", "admin")
_PASSWORD_CHARACTERS = 2048


@click.group()
def user() -> None:
    """Users, their passwords, sessions and API tokens."""


@user.command()
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice(ROLES),
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
        ("sees", "SEES"),
        ("has_password", "PASSWORD"),
        ("accounts", "ACCOUNTS"),
        ("created", "CREATED"),
        ("disabled", "DISABLED"),
    )
    show_rows(call(config_file, "user.list", {}), columns, output)


@user.command()
@click.argument("name")
@click.argument("provider")
@click.argument("subject")
@config_option
@output_option
def link(*, name: str, provider: str, subject: str, config_file: Path, output: str) -> None:
    """Let the account SUBJECT at PROVIDER, of the configuration, be a user's."""
    providers = load(config_file).sign_in.providers
    if provider not in providers:
        known = ", ".join(providers) or "none"
        raise UsageError(f"there is no provider {provider!r} in {config_file}, but: {known}")
    account = {"name": name, "issuer": providers[provider].issuer, "subject": subject}
    result = call(config_file, "user.link", account)
    show_result(result, f"user {name} signs in with this account at {provider}, too", output)


@user.command()
@click.argument("name")
@config_option
@output_option
def unlink(*, name: str, config_file: Path, output: str) -> None:
    """Take all accounts at providers from a user; their sessions end."""
    result = call(config_file, "user.unlink", {"name": name})
    show_result(result, f"user {name} signs in at no provider any more", output)


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
@click.argument("role", type=click.Choice(ROLES))
@config_option
@output_option
def role(*, name: str, role: str, config_file: Path, output: str) -> None:
    """Give a user another role; their sessions end."""
    result = call(config_file, "user.change", {"name": name, "role": role})
    show_result(result, f"user {name} is {role} now", output)


@user.command()
@click.argument("name")
@click.argument("what", type=click.Choice(["all", "teams"]))
@config_option
@output_option
def sees(*, name: str, what: str, config_file: Path, output: str) -> None:
    """Let a user see everything, or only what the teams of the person behind it own."""
    result = call(config_file, "user.change", {"name": name, "sees": what})
    seen = "everything" if what == "all" else "what their teams own"
    show_result(result, f"user {name} sees {seen}", output)


@user.command()
@click.argument("name")
@config_option
@output_option
def disable(*, name: str, config_file: Path, output: str) -> None:
    """Shut a user out: no sign-in, sessions end, tokens count for nothing."""
    result = call(config_file, "user.change", {"name": name, "disabled": True})
    show_result(result, f"user {name} is disabled", output)


@user.command()
@click.argument("name")
@config_option
@output_option
def enable(*, name: str, config_file: Path, output: str) -> None:
    """Let a disabled user in again, with the tokens that have not expired."""
    result = call(config_file, "user.change", {"name": name, "disabled": False})
    show_result(result, f"user {name} is enabled", output)


@user.command("sign-out")
@click.argument("name")
@config_option
@output_option
def sign_out(*, name: str, config_file: Path, output: str) -> None:
    """End all sessions of a user."""
    result = call(config_file, "user.sign-out", {"name": name})
    show_result(result, f"{result['ended']} sessions of {name} ended", output)


@user.command()
@click.argument("name", required=False)
@config_option
@output_option
def tokens(*, name: str | None, config_file: Path, output: str) -> None:
    """List API tokens, of a user or of all."""
    columns = (
        ("id", "ID"),
        ("user", "USER"),
        ("name", "NAME"),
        ("state", "STATE"),
        ("expires", "EXPIRES"),
        ("last_used", "LAST USED"),
        ("permissions", "PERMISSIONS"),
        ("teams", "TEAMS"),
    )
    show_rows(call(config_file, "user.tokens", {"name": name}), columns, output)


@user.command()
@click.argument("token_id", metavar="TOKEN")
@config_option
@output_option
def revoke(*, token_id: str, config_file: Path, output: str) -> None:
    """End an API token now, for good; `user tokens` lists them."""
    result = call(config_file, "user.revoke", {"id": token_id})
    show_result(result, f"the token {token_id} is revoked", output)


@user.command()
@click.argument("name")
@click.option("--days", type=int, default=90, show_default=True, help="Time to live.")
@click.option("--token-name", default="", help="What the token is for, for the record.")
@click.option(
    "--permission",
    "permissions",
    multiple=True,
    metavar="WORD",
    help="It may do no more than this; may be repeated [all that the user may].",
)
@click.option(
    "--team",
    "teams",
    multiple=True,
    metavar="NAME",
    help="It sees no more than what this team owns; may be repeated [all that the user sees].",
)
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
    permissions: tuple[str, ...],
    teams: tuple[str, ...],
    output_file: Path | None,
    config_file: Path,
    output: str,
) -> None:
    """Make an API token for a user and show it, this once."""
    arguments: dict[str, object] = {"name": name, "days": days, "token_name": token_name}
    if permissions:
        arguments["permissions"] = list(permissions)
    if teams:
        arguments["teams"] = list(teams)
    made = call(config_file, "user.token", arguments)
    if output_file is None:
        show_result(made, made["token"], output)
        return
    write_secret(output_file, made.pop("token"))
    text = f"{output_file}: API token {made['id']}, good until {time_text(made['expires_ms'])}"
    show_result(made, text, output)
