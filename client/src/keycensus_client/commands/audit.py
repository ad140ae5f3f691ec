"""`keycensus audit`: what was done, and by whom."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from keycensus_client.account import AuditRow
from keycensus_client.commands.session import connect, effective_limit, limit_option, output_option
from keycensus_client.identity import resolve
from keycensus_client.output.files import field_titles, print_csv, print_json
from keycensus_client.output.table import Column, Row, print_table
from keycensus_client.rest import PAGE_LIMIT, Client, path

_COLUMNS = (
    Column("NUMBER", "right"),
    Column("AT"),
    Column("BY"),
    Column("DID"),
    Column("TO", fold=True),
    Column("DETAIL", fold=True),
)


@click.command("audit")
@click.option("--actor", metavar="NAME", help="Who did it: user:ann, operator.")
@click.option("--action", metavar="WORD", help="What was done, or its beginning: user.")
@click.option("--subject", metavar="TEXT", help="To whom or what.")
@click.option("--of", metavar="ID", help="What was done with a certificate, key or host.")
@limit_option
@output_option
def command(*, of: str | None, limit: int | None, output: str, **wanted: str | None) -> None:
    """List what was done, the newest first, and by whom; for admins.

    `keycensus-collector audit verify` says whether the log is as it was written.
    """
    most = effective_limit(limit, output)
    if of and any(wanted.values()):
        raise click.UsageError("--of says itself what is meant: leave the others out")
    identity = resolve(of) if of else None
    with connect() as client:
        if identity is None:
            rows = _rows(client, wanted, most)
        else:
            asked = {"id": identity.id, "kind": identity.kind or None, "limit": most or PAGE_LIMIT}
            rows = client.ask(list[AuditRow], path("audit", "of"), asked)
    if output == "json":
        print_json(rows)
    elif output == "csv":
        titles = field_titles(AuditRow)
        told = ({**asdict(row), "detail": _detail(row)} for row in rows)
        print_csv(titles, ([each[title] for title in titles] for each in told))
    else:
        print_table(_COLUMNS, [_row(row) for row in rows])


def _rows(client: Client, wanted: dict[str, str | None], limit: int | None) -> list[AuditRow]:
    """Ask page by page until `limit` rows came, or all."""
    rows: list[AuditRow] = []
    before: int | None = None
    while limit is None or len(rows) < limit:
        size = PAGE_LIMIT if limit is None else min(PAGE_LIMIT, limit - len(rows))
        asked: dict[str, str | int | bool | None] = {**wanted, "before": before, "limit": size}
        page = client.ask(list[AuditRow], path("audit"), asked)
        rows += page
        if len(page) < size:
            break
        before = page[-1].number
    return rows


def _row(row: AuditRow) -> Row:
    return (str(row.number), row.at or "-", row.actor, row.action, row.subject, _detail(row))


def _detail(row: AuditRow) -> str:
    return json.dumps(row.detail, ensure_ascii=False, sort_keys=True) if row.detail else ""
