"""`keycensus import FILE`: bring what hosts can't report by themselves."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import click

from keycensus_client.commands.session import connect, text_or_json_option
from keycensus_client.errors import UsageError
from keycensus_client.model import BundleTaken, KnownTaken
from keycensus_client.output.files import print_json
from keycensus_client.text import safe_text

_MAGIC = b"KCBUNDLE"
# Hosts named one by one; lists are for more.
_SHOWN = 20


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--rename", is_flag=True, help="Another machine took an imported host's name.")
@click.option(
    "--hosts", "source", metavar="SOURCE", help="FILE lists known hosts, as SOURCE has them."
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["csv", "ansible-ini", "ansible-yaml", "json"]),
    help="How the list is written; else by the file's name.",
)
@text_or_json_option
def command(
    *, file: Path, rename: bool, source: str | None, format_: str | None, output: str
) -> None:
    """Import FILE: a bundle of a host that can't enrol, or with --hosts a list of known hosts.

    It replaces what was imported of that host or source before. What it tells is shown as imported.
    """
    if source is None and format_:
        raise UsageError("--format is of lists of known hosts: give --hosts SOURCE with it")
    shown = safe_text(str(file))
    try:
        with file.open("rb") as content, connect() as client:
            taken: BundleTaken | KnownTaken
            if source is None:
                _check_bundle(content, shown)
                taken = client.import_bundle(content, rename=rename)
            else:
                taken = client.import_hosts(content, source, format_ or _format_of(file))
    except OSError as error:
        raise UsageError(f"{shown}: {error.strerror}") from None
    if output == "json":
        print_json(taken)
    else:
        click.echo(_line(taken) if isinstance(taken, BundleTaken) else _lines(taken))


def _check_bundle(content: BinaryIO, shown: str) -> None:
    """See that it is a bundle before it is sent anywhere; UsageError if not."""
    if content.read(len(_MAGIC)) != _MAGIC:
        raise UsageError(
            f"{shown} is no bundle: keycensus-agent scan --bundle FILE writes one;"
            " of a list of known hosts say --hosts SOURCE"
        )
    content.seek(0)


def _format_of(file: Path) -> str:
    known = {".csv": "csv", ".json": "json", ".yml": "ansible-yaml", ".yaml": "ansible-yaml"}
    return known.get(file.suffix.lower(), "ansible-ini")


def _lines(taken: KnownTaken) -> str:
    first = (
        f"imported {taken.hosts:,} known hosts of {taken.source}: {taken.with_agent:,} report,"
        f" {taken.without_agent:,} without an agent, {taken.removed:,} named no more"
    )
    lines = [first]
    lines += [f"  {each.name} is {each.host}, by its {each.by}" for each in taken.matched_otherwise]
    lines += [f"  {name}: without an agent" for name in taken.without[:_SHOWN]]
    lines += [f"  {name}: named no more" for name in taken.gone[:_SHOWN]]
    if max(len(taken.without), len(taken.gone)) > _SHOWN:
        lines.append("  and more: keycensus hosts --without-agent lists them")
    return "\n".join(lines)


def _line(taken: BundleTaken) -> str:
    what = "new host" if taken.new_host else "host"
    parts = [f"imported {what} {taken.host}: {taken.rows:,} rows, {taken.removed:,} gone since"]
    if taken.gaps:
        parts.append(f"{taken.gaps:,} places were out of its sight")
    if not taken.complete:
        parts.append("its sweep was not finished")
    return "; ".join(parts)
