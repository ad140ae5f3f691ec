"""`keycensus unmark`: lift marks."""

from __future__ import annotations

import re
from typing import Any

import click

from keycensus_client.commands.session import connect
from keycensus_client.editing import edit, meant, things_options
from keycensus_client.errors import NotFoundError
from keycensus_client.model import Mark
from keycensus_client.rest import Client


@click.command("unmark")
@things_options(("certificates", "keys"), "certificates")
@click.option("--reason", metavar="TEXT", required=True, help="Why, for the record.")
@click.option(
    "--mark",
    "word",
    type=click.Choice(["compromised", "distrusted"]),
    help="Only this one, where both stand.",
)
def command(*, reason: str, word: str | None, **things: Any) -> None:  # noqa: ANN401 - as meant has them
    """Lift the marks on what IDs name, or on all that a query lists. They stay in history."""
    what = meant(**things)
    if what.many or what.preview:
        said = {"mark": word or "", "lift": True, "reason": reason}
        edit(what, said, "rid of their marks", "marks", "bulk")
        return
    with connect() as client:
        full_id = _full_id(client, what.id, what.kind)
        marks = [
            mark for mark in client.marks() if mark.id == full_id and word in {None, mark.mark}
        ]
        if not marks:
            raise NotFoundError(
                f"no mark stands on {what.id!r} itself; keycensus mark list has those that stand"
            )
        lifted = [client.lift_mark(mark.number, reason) for mark in marks]
    for mark in lifted:
        click.echo(_line(mark))


def _full_id(client: Client, text: str, kind: str) -> str:
    """Return the id in the inventory, or the SHA-256 itself where that never saw it."""
    digits = re.sub(r"[\s:]", "", text).lower()
    if re.fullmatch(r"[0-9a-f]{64}", digits):
        return digits
    return client.where(text, kind).id


def _line(mark: Mark) -> str:
    name = f" {mark.name}" if mark.name else ""
    return f"lifted mark {mark.number}: {mark.kind}{name} is not {mark.mark} any more"
