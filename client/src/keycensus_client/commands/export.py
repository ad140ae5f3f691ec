"""`keycensus export`: what people set at the collector, as files for git."""

from __future__ import annotations

from pathlib import Path

import click

from keycensus_client.as_code import views
from keycensus_client.as_code.documents import write
from keycensus_client.commands.session import connect


@click.command("export")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
def command(*, directory: Path) -> None:
    """Write saved views into files below DIRECTORY, for `apply` and for git."""
    with connect() as client:
        content = views.current(client)
    file = directory / f"{views.KIND}.yaml"
    done = "written" if write(file, content) else "unchanged"
    click.echo(f"{file}: {len(content[views.KIND])} {views.KIND}, {done}")
