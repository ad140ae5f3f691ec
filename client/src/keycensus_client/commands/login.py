"""`keycensus login URL`: check a token against a collector and store it."""

from __future__ import annotations

import os
import sys
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
@click.option(
    "--ca-file",
    type=click.Path(exists=True, dir_okay=False, resolve_path=True),
    help="Certificates (PEM) to trust, if the collector has its own authority.",
)
def command(url: str, token_file: str | None, ca_file: str | None) -> None:
    """Log in to the collector at URL, as in https://census.example.com:8443.

    An operator makes the API token on the collector: keycensus-collector user token NAME. It is read
    from a file, from standard input, or asked for; never from the command line, which others can see.
    """
    credentials = Credentials(checked_url(url), _token(token_file), ca_file or "")
    with Client(credentials) as client:
        who = client.whoami()
    path = save(os.environ, credentials)
    click.echo(f"logged in to {credentials.url} as {who.user} ({who.role}); stored in {path}")


def _token(token_file: str | None) -> str:
    if token_file and token_file != _STANDARD_INPUT:
        return read_token(Path(token_file))
    if token_file == _STANDARD_INPUT:
        return checked_token(sys.stdin.readline(), "standard input")
    if not sys.stdin.isatty():
        raise UsageError("give the API token with --token-file FILE, or --token-file - to pipe it")
    return checked_token(click.prompt("API token", hide_input=True, err=True), "what was typed")
