"""`keycensus export`: what people set at the collector, as files for git."""

from __future__ import annotations

from pathlib import Path

import click

from keycensus_client.as_code.documents import means_the_same, write
from keycensus_client.as_code.layout import FOLDERS, RULES, texts
from keycensus_client.commands.session import connect
from keycensus_client.declared import Declared
from keycensus_client.rest import path
from keycensus_client.text import safe_text


@click.command("export")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option("--prune", is_flag=True, help="Delete files of what is not there any more.")
def command(*, directory: Path, prune: bool) -> None:
    """Write views, teams, people, rules and labels into files below DIRECTORY, for `apply` and git."""
    with connect() as client:
        files = texts(client.ask(Declared, path("declared")))
    written = [name for name, text in files.items() if _write(directory / name, text)]
    for file in _stale(directory, set(files)):
        if prune:
            file.unlink()
        told = "deleted" if prune else "of nothing that is there; --prune deletes it"
        click.echo(f"{safe_text(str(file))}: {told}")
    click.echo(f"{directory}: {len(files):,} files, {len(written):,} written")


def _write(file: Path, text: str) -> bool:
    """Write a file unless it says the same already, in whatever words; return whether it did."""
    if file.is_file() and not file.is_symlink():
        # Of rules the collector keeps comments, too.
        is_same = file.read_bytes() == text.encode()
        if is_same or (file.name != RULES and means_the_same(file, text)):
            return False
    write(file, text)
    return True


def _stale(directory: Path, names: set[str]) -> list[Path]:
    folders = [folder for kind in FOLDERS.values() for folder in kind]
    there = [file for folder in folders for file in sorted((directory / folder).glob("*.yaml"))]
    there += [file for file in [directory / RULES] if file.is_file()]
    return [file for file in there if str(file.relative_to(directory)) not in names]
