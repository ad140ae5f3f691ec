"""`keycensus mark`: say that a certificate, key or authority is compromised or distrusted."""

from __future__ import annotations

from typing import Any

import click

from keycensus_client.commands.session import connect, output_option, say_rest
from keycensus_client.commands.where import print_places
from keycensus_client.editing import edit, meant, things_options
from keycensus_client.model import Mark, MarkDetail
from keycensus_client.output.cells import SHORT, counted, day
from keycensus_client.output.files import field_titles, field_values, print_csv, print_json
from keycensus_client.output.table import Cell, Column, print_facts, print_table

_LISTS = ("certificates", "keys")
_COLUMNS = (
    Column("MARK", "right"),
    Column("AS"),
    Column("WHAT", fold=True),
    Column("SINCE"),
    Column("BY"),
    Column("REASON", fold=True),
    Column("BACK", "right"),
)
_BACK = (Column("CAME BACK"), Column("HOST"), Column("PATH", fold=True), Column("WHAT"))


@click.group("mark")
def command() -> None:
    """Mark a certificate, key or authority as compromised or distrusted; list marks.

    A mark on a key reaches all its certificates, and one on an authority all that is below it.
    """


def _setting(word: str, meaning: str) -> None:
    """Add the command that marks as `word`."""

    @command.command(word, help=f"Mark what ID names: {meaning}.")
    @things_options(_LISTS, "certificates")
    @click.option("--reason", metavar="TEXT", required=True, help="Why, for the record.")
    @click.option(
        "--kind",
        type=click.Choice(["certificate", "key"]),
        help="What ID is; a full SHA-256 then need not be in the inventory.",
    )
    @output_option
    def set_(*, reason: str, kind: str | None, output: str, **things: Any) -> None:  # noqa: ANN401 - as meant has them
        what = meant(**things)
        if what.many or what.preview:
            said = {"mark": word, "reason": reason, **({"kind": kind} if kind else {})}
            edit(what, said, f"marked {word}", "marks", "bulk")
            return
        with connect() as client:
            detail = client.set_mark(what.id, kind or what.kind, word, reason)
        _print(detail, output)


_setting("compromised", "its private key got out, or may have")
_setting("distrusted", "nothing is to rest on it any more")


@command.command("list")
@click.option("--lifted", is_flag=True, help="Those that were lifted, too.")
@output_option
def list_(*, lifted: bool, output: str) -> None:
    """List marks, the newest first."""
    with connect() as client:
        marks = client.marks(lifted=lifted)
    if output == "json":
        print_json(marks)
    elif output == "csv":
        titles = field_titles(Mark)
        print_csv(titles, (field_values(mark, titles) for mark in marks))
    elif not marks:
        click.echo("no marks")
    else:
        print_table(_COLUMNS, [_row(mark) for mark in marks])


@command.command("show")
@click.argument("number", type=click.IntRange(min=1))
@output_option
def show(*, number: int, output: str) -> None:
    """Show a mark with every place that it reaches now, and where it came back."""
    with connect() as client:
        detail = client.mark(number)
    _print(detail, output)


def _row(mark: Mark) -> tuple[Cell | str, ...]:
    return (
        str(mark.number),
        Cell(mark.mark, "dim" if mark.until else "red"),
        _what(mark),
        day(mark.since) + (f" to {day(mark.until)}" if mark.until else ""),
        mark.by,
        mark.reason,
        Cell(str(mark.reappeared), "red" if mark.reappeared else ""),
    )


def _what(mark: Mark) -> str:
    kind = "authority" if mark.authority else mark.kind
    return "  ".join(filter(None, (f"{kind} {mark.name}".strip(), mark.id[:SHORT])))


def _print(detail: MarkDetail, output: str) -> None:
    if output == "json":
        print_json(detail)
        return
    if output == "csv":
        titles = ["host", "path", "use", "role", "mode", "owner", "kinds"]
        print_csv(titles, (field_values(place, titles) for place in detail.places))
        return
    mark = detail.mark
    facts: list[tuple[str, Cell | str]] = [
        ("marked", Cell(mark.mark, "red")),
        ("reason", mark.reason),
        ("by", f"{mark.by}, {mark.since}"),
    ]
    if mark.until:
        facts.append(("lifted", f"{mark.until} by {mark.lifted_by}: {mark.lifted_reason}"))
    facts += [
        (
            "reaches",
            f"{counted(detail.certificates, 'certificate')}, {counted(detail.keys, 'private key')}",
        ),
        (
            "stands at",
            f"{counted(detail.places_total, 'place')} on {counted(detail.hosts, 'host')}",
        ),
        ("query", mark.query),
    ]
    if detail.of_same_key and not mark.until:
        have = "has" if detail.of_same_key == 1 else "have"
        others = f"{counted(detail.of_same_key, 'other certificate')} {have} its key"
        command_ = f"keycensus mark {mark.mark} {detail.key_id} --kind key --reason TEXT"
        facts.append(("not reached", Cell(f"{others}; to mark all of them:\n{command_}", "yellow")))
    if mark.reappeared:
        facts.append(("came back", Cell(counted(mark.reappeared, "time"), "red")))
    print_facts(facts, f"mark {mark.number}: {_what(mark)}")
    if detail.places:
        click.echo("")
        print_places(detail.places)
        say_rest(len(detail.places), detail.places_total, exact=True, what="places")
    if detail.reappearances:
        click.echo("")
        rows = [
            (each.at or "-", each.host, each.path, f"{each.kind} {each.id[:SHORT]}")
            for each in detail.reappearances
        ]
        print_table(_BACK, rows)
