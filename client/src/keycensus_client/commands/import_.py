"""`keycensus import FILE`: bring what hosts can't report by themselves."""

from __future__ import annotations

from pathlib import Path

import click

from keycensus_client.commands.session import connect
from keycensus_client.errors import UsageError
from keycensus_client.model import BundleTaken
from keycensus_client.output.files import print_json
from keycensus_client.text import safe_text

_MAGIC = b"KCBUNDLE"


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--rename", is_flag=True, help="Another machine took an imported host's name.")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="Text for people; JSON for scripts.",
)
def command(*, file: Path, rename: bool, output: str) -> None:
    """Import FILE: a bundle that `keycensus-agent scan --bundle` wrote on a host that can't enrol.

    It replaces what was imported of that host before. Its host is shown as imported, never as heard of.
    """
    shown = safe_text(str(file))
    try:
        with file.open("rb") as content:
            if content.read(len(_MAGIC)) != _MAGIC:
                raise UsageError(
                    f"{shown} is no bundle: keycensus-agent scan --bundle FILE writes one"
                )
            content.seek(0)
            with connect() as client:
                taken = client.import_bundle(content, rename=rename)
    except OSError as error:
        raise UsageError(f"{shown}: {error.strerror}") from None
    if output == "json":
        print_json(taken)
    else:
        click.echo(_line(taken))


def _line(taken: BundleTaken) -> str:
    what = "new host" if taken.new_host else "host"
    parts = [f"imported {what} {taken.host}: {taken.rows:,} rows, {taken.removed:,} gone since"]
    if taken.gaps:
        parts.append(f"{taken.gaps:,} places were out of its sight")
    if not taken.complete:
        parts.append("its sweep was not finished")
    return "; ".join(parts)
