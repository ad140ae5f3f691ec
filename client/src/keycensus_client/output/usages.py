"""Who uses a place, as people read it: service, configuration, names, and what was seen of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from keycensus_client.model import Certificate, Usage
from keycensus_client.output.cells import day
from keycensus_client.output.revocation import revoked_note
from keycensus_client.output.table import Cell, Column, Row, print_table

_COLUMNS = (
    Column("USED BY"),
    Column("HOST"),
    Column("CONFIGURATION", fold=True),
    Column("NAMES", fold=True),
    Column("LISTENS", fold=True),
    Column("STATE", fold=True),
)
_VERDICTS = {
    "served": ("served", ""),
    "not-reloaded": ("not reloaded: an older certificate is served", "red"),
    "served-but-not-on-disk": ("what is served is on no disk", "red"),
    "served-another": ("another certificate is served", "yellow"),
}
_OVERDUE = {
    "past-due": "it should have been renewed by now",
    "not-scheduled": "nothing starts it",
    "failing": "the tool says that it fails",
    "switched-off": "the tool was told not to renew it",
}
# Of a row of a table: what people do about it first.
_STYLES = ("", "yellow", "red")
# Names and addresses shown in a table; JSON has all.
_SHOWN = 4


def print_usages(usages: Sequence[Usage]) -> None:
    """Print usages as a table after an empty line; nothing if there are none."""
    if usages:
        click.echo("")
        print_table(_COLUMNS, [_row(usage) for usage in usages])


def _row(usage: Usage) -> Row:
    unit = f" ({usage.unit})" if usage.unit and usage.unit != f"{usage.service}.service" else ""
    line = f":{usage.line}" if usage.line else ""
    return (
        f"{usage.renewal_tool or usage.service}{unit}",
        usage.host,
        f"{usage.configuration}{line} {usage.directive}".strip(),
        _some(usage.server_names),
        _some(usage.listen),
        state_of(usage),
    )


def _some(values: Sequence[str]) -> str:
    more = f" and {len(values) - _SHOWN} more" if len(values) > _SHOWN else ""
    return ", ".join(values[:_SHOWN]) + more


def state_of(usage: Usage) -> Cell:
    """Return what was seen of a usage: its handshakes, its names, its renewal."""
    said: list[tuple[str, str]] = []
    if usage.verdict:
        text, style = _VERDICTS.get(usage.verdict, (usage.verdict, "yellow"))
        first = usage.handshakes[0] if usage.handshakes else None
        version = f" ({first.tls_version})" if first and first.tls_version else ""
        said.append((text + version, style))
    elif usage.handshakes:
        said.append((f"no answer: {usage.handshakes[0].error}", "yellow"))
    if usage.uncovered:
        said.append((f"not for {_some(usage.uncovered)}", "yellow"))
    if usage.renewal_tool:
        said.extend(_renewal_of(usage))
    if usage.processes:
        said.append((f"open in {_some(usage.processes)}", ""))
    style = max((style for _, style in said), key=_STYLES.index, default="")
    return Cell("; ".join(text for text, _ in said), style)


def _renewal_of(usage: Usage) -> Iterator[tuple[str, str]]:
    if usage.renewal_overdue:
        why = _OVERDUE.get(usage.renewal_reason, usage.renewal_reason)
        yield (
            f"renewal overdue{': ' if why else ''}{why}, last success {day(usage.renewed)}",
            "red",
        )
    else:
        yield f"renewed {day(usage.renewed)}", ""
    if not usage.renewal_schedule and usage.renewal_reason != "not-scheduled":
        yield "nothing starts it", "yellow"


def notes_of(certificate: Certificate) -> Cell:
    """Return what a list says of a certificate beside its end: revoked, who renews it, what is served."""
    revoked = revoked_note(certificate)
    said: list[str] = [revoked] if revoked else []
    style = ""
    if certificate.verdict in _VERDICTS and certificate.verdict != "served":
        text, style = _VERDICTS[certificate.verdict]
        said.append(text.partition(":")[0])
    if certificate.renewed_by:
        overdue = certificate.renewal_overdue
        said.append(f"renewed by {certificate.renewed_by}" + (", overdue" if overdue else ""))
        style = "red" if overdue else style
    return Cell(", ".join(said), "red" if revoked else style)
