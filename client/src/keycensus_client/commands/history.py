"""`keycensus history ID`: what happened to a certificate, key or host, the newest first."""

from __future__ import annotations

import click

from keycensus_client.commands.session import connect, effective_limit, limit_option, output_option
from keycensus_client.errors import UsageError
from keycensus_client.identity import Identity, resolve
from keycensus_client.model import Event
from keycensus_client.output.files import field_titles, field_values, print_csv, print_json
from keycensus_client.output.table import Cell, Column, print_table
from keycensus_client.rest import PAGE_LIMIT, Client

_COLUMNS = (
    Column("WHEN", merge=True),
    Column("WHAT"),
    Column("HOST"),
    Column("PATH", fold=True),
    Column("DETAIL", fold=True),
    Column("CAUSE"),
)
_KINDS = ("certificate", "key", "host")
_STYLES = {"gone": "dim", "marked": "red", "revoked": "red", "came-back": "red"}


@click.command("history")
@click.argument("id", nargs=-1, required=True, metavar="[certificate|key|host] ID")
@output_option
@limit_option
def command(*, id: tuple[str, ...], output: str, limit: int | None) -> None:  # noqa: A002 - the argument's name, as in the usage
    """Show what happened to what ID names: appeared, moved, changed, gone, permissions, renewals, marks.

    ID is as for show; a word before it says which kind is meant.
    """
    identity = _identity(id)
    with connect() as client:
        events = _events(client, identity, effective_limit(limit, output))
    if output == "json":
        print_json(events)
    elif output == "csv":
        titles = field_titles(Event)
        print_csv(titles, (field_values(each, titles) for each in events))
    elif not events:
        click.echo("nothing happened to it")
    else:
        print_table(_COLUMNS, [_row(each) for each in events])


def _identity(words: tuple[str, ...]) -> Identity:
    if len(words) == 1:
        return resolve(words[0])
    if len(words) != 2 or words[0] not in _KINDS:
        raise UsageError("history takes an ID, or one of certificate, key, host and an ID")
    found = Identity(words[1]) if words[0] == "host" else resolve(words[1])
    return Identity(found.id, words[0])


def _events(client: Client, identity: Identity, limit: int | None) -> list[Event]:
    events: list[Event] = []
    before: int | None = None
    while limit is None or len(events) < limit:
        size = PAGE_LIMIT if limit is None else min(PAGE_LIMIT, limit - len(events))
        page = client.history(identity.id, identity.kind, before=before, limit=size)
        events += page.events
        before = page.next
        if before is None:
            break
    return events


def _row(each: Event) -> tuple[Cell | str, ...]:
    what = Cell(each.what, _STYLES.get(each.what, ""))
    return (each.at or "-", what, each.host, each.path, each.detail, each.cause)
