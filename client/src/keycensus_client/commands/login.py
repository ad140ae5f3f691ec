"""`keycensus login URL`: check a token against a collector, or get one for a password, and store it."""

from __future__ import annotations

import os
import socket
import sys
from dataclasses import replace
from pathlib import Path

import click

from keycensus_client.credentials import (
    Credentials,
    checked_token,
    checked_url,
    read_token,
    save,
)
from keycensus_client.errors import UsageError
from keycensus_client.rest import Client

_STANDARD_INPUT = "-"


@click.command("login")
@click.argument("url")
@click.option("--token-file", metavar="FILE", help="File with the API token; - for standard input.")
@click.option("--user", metavar="NAME", help="Sign in with a password, and get a token for it.")
@click.option(
    "--password-file", metavar="FILE", help="File with the password; - for standard input."
)
@click.option(
    "--days",
    type=click.IntRange(1, 3_660),
    default=30,
    show_default=True,
    help="With --user: how long the token lives.",
)
@click.option(
    "--ca-file",
    type=click.Path(exists=True, dir_okay=False, resolve_path=True),
    help="Certificates (PEM) to trust, if the collector has its own authority.",
)
def command(
    *,
    url: str,
    token_file: str | None,
    user: str | None,
    password_file: str | None,
    days: int,
    ca_file: str | None,
) -> None:
    """Log in to the collector at URL, as in https://census.example.com:8443.

    With --user, a password gets an API token, which `keycensus tokens` lists and revokes. Else one is
    given: an operator makes it on the collector with keycensus-collector user token NAME. Both are read
    from a file, from standard input, or asked for; never from the command line, which others can see.
    """
    if user is None and password_file:
        raise UsageError("--password-file goes with --user NAME")
    if user is not None and token_file:
        raise UsageError("give either --user, who gets a token, or --token-file, which has one")
    if user is None:
        credentials = Credentials(checked_url(url), _token(token_file), ca_file or "")
    else:
        credentials = _signed_in(
            Credentials(checked_url(url), "", ca_file or ""), user, password_file, days
        )
    with Client(credentials) as client:
        who = client.whoami()
    path = save(os.environ, credentials)
    click.echo(f"logged in to {credentials.url} as {who.user} ({who.role}); stored in {path}")


def _signed_in(
    without: Credentials, user: str, password_file: str | None, days: int
) -> Credentials:
    password = _password(password_file)
    with Client(without) as client:
        made = client.sign_in(user, password, name=f"login on {socket.gethostname()}", days=days)
    return replace(without, token=made.token)


def _password(file: str | None) -> str:
    if file and file != _STANDARD_INPUT:
        try:
            text = Path(file).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{file} can't be read: {error}") from None
        return text.removesuffix("\n")
    if file == _STANDARD_INPUT:
        return sys.stdin.readline().removesuffix("\n")
    if not sys.stdin.isatty():
        raise UsageError("give the password with --password-file FILE, or - to pipe it")
    return str(click.prompt("Password", hide_input=True, err=True))


def _token(token_file: str | None) -> str:
    if token_file and token_file != _STANDARD_INPUT:
        return read_token(Path(token_file))
    if token_file == _STANDARD_INPUT:
        return checked_token(sys.stdin.readline(), "standard input")
    if not sys.stdin.isatty():
        raise UsageError("give the API token with --token-file FILE, or --token-file - to pipe it")
    return checked_token(click.prompt("API token", hide_input=True, err=True), "what was typed")
