"""`keycensus login URL`: check a token against a collector, or get one for a password, and store it."""

from __future__ import annotations

import os
import socket
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import click

from keycensus_client.account import NewToken, Provider
from keycensus_client.browser_sign_in import code_from_browser
from keycensus_client.credentials import (
    Credentials,
    checked_token,
    checked_url,
    read_token,
    save,
)
from keycensus_client.errors import UsageError
from keycensus_client.rest import Client, path
from keycensus_client.text import safe_text

_STANDARD_INPUT = "-"


@click.command("login")
@click.argument("url")
@click.option("--token-file", metavar="FILE", help="File with the API token; - for standard input.")
@click.option("--user", metavar="NAME", help="Sign in with a password, and get a token for it.")
@click.option(
    "--password-file", metavar="FILE", help="File with the password; - for standard input."
)
@click.option("--sso", is_flag=True, help="Sign in with a browser, at your company's provider.")
@click.option("--provider", metavar="NAME", help="With --sso: which one, if there are several.")
@click.option(
    "--days",
    type=click.IntRange(1, 3_660),
    default=30,
    show_default=True,
    help="With --user or --sso: how long the token lives.",
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
    sso: bool,
    provider: str | None,
    days: int,
    ca_file: str | None,
) -> None:
    """Log in to the collector at URL, as in https://census.example.com:8443.

    With --user, a password gets an API token, which `keycensus tokens` lists and revokes; with --sso, a
    browser on this machine does. Else one is given: an operator makes it on the collector with keycensus-collector user token NAME. Both are read
    from a file, from standard input, or asked for; never from the command line, which others can see.
    """
    if user is None and password_file:
        raise UsageError("--password-file goes with --user NAME")
    if user is not None and token_file:
        raise UsageError("give either --user, who gets a token, or --token-file, which has one")
    if sso and (user is not None or token_file):
        raise UsageError("--sso gets a token by itself: leave --user and --token-file out")
    if provider is not None and not sso:
        raise UsageError("--provider goes with --sso")
    without = Credentials(checked_url(url), "", ca_file or "")
    if sso:
        credentials = _by_browser(without, provider, days)
    elif user is None:
        credentials = replace(without, token=_token(token_file))
    else:
        credentials = _signed_in(without, user, password_file, days)
    with Client(credentials) as client:
        who = client.whoami()
    stored = save(os.environ, credentials)
    click.echo(f"logged in to {credentials.url} as {who.user} ({who.role}); stored in {stored}")


def _signed_in(
    without: Credentials, user: str, password_file: str | None, days: int
) -> Credentials:
    password = _password(password_file)
    with Client(without) as client:
        made = client.sign_in(user, password, name=_token_name(), days=days)
    return replace(without, token=made.token)


def _by_browser(without: Credentials, wanted: str | None, days: int) -> Credentials:
    with Client(without) as client:
        providers = client.ask(list[Provider], path("oidc"))
        chosen = [each for each in providers if wanted in (None, each.name)]
        if len(chosen) != 1:
            names = ", ".join(safe_text(each.name) for each in providers) or "none"
            raise UsageError(f"say where to sign in, with --provider NAME; there is: {names}")
        start = f"{without.url}{path('api', 'v1', 'oidc', chosen[0].name, 'start')}"
        code = code_from_browser(start, say=partial(click.echo, err=True))
        body = {
            "code": code.code,
            "verifier": code.verifier,
            "name": _token_name(),
            "days": days,
        }
        made = client.tell(NewToken, "POST", path("oidc", "token"), body)
    return replace(without, token=made.token)


def _token_name() -> str:
    return f"login on {socket.gethostname()}"


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
