"""`keycensus-collector db`: the database's revision, copies and backups."""

from __future__ import annotations

import json
import secrets
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keycensus_collector.cli.options import config_option, output_option
from keycensus_collector.cli.output import show_result
from keycensus_collector.cli.running import call
from keycensus_collector.errors import UsageError

if TYPE_CHECKING:
    from keycensus_collector.copying.tables import Content

# A server may copy a large file for as long.
_BACKUP_SECONDS = 6 * 3600.0


@click.group()
def db() -> None:
    """Look at, upgrade, copy, back up or restore the database."""


@db.command()
@config_option
@output_option
def status(*, config_file: Path, output: str) -> None:
    """Say which revision the database is at, and which this program wants."""
    from keycensus_collector import admin
    from keycensus_collector.config import load
    from keycensus_collector.store.engine import Store

    configuration = load(config_file)
    if admin.server_runs(configuration):
        result = call(config_file, "db.status", {})
    else:
        found = Store.revision_of(configuration.database_url)
        result = {
            "current": found.current,
            "newest": found.newest,
            "up_to_date": found.is_newest,
        }
    if result["up_to_date"]:
        text = f"the database is at revision {result['current']}, the newest"
    else:
        text = (
            f"the database is at revision {result['current'] or 'none'}, this program's newest is "
            f"{result['newest']}; serve upgrades it by itself, or: keycensus-collector db upgrade"
        )
    show_result(result, text, output)


@db.command()
@config_option
def upgrade(*, config_file: Path) -> None:
    """Bring the database to this program's revision, after copying a file; no server may run."""
    from keycensus_collector.config import load
    from keycensus_collector.store.engine import Store

    with Store.open(load(config_file).database_url, upgrade=True) as store:
        store.complete()
        click.echo(f"{store.name} is at revision {store.revision().current}, the newest")


@db.command(name="copy")
@click.option(
    "--to",
    "target",
    metavar="URL",
    required=True,
    help="A database that is not there yet (a file), or is empty (PostgreSQL).",
)
@config_option
@output_option
def copy(*, target: str, config_file: Path, output: str) -> None:
    """Copy everything into a new database, to go on with it; no server may run."""
    from keycensus_collector import admin
    from keycensus_collector.config import check_database_url, load
    from keycensus_collector.copying.databases import copy_database

    configuration = load(config_file)
    try:
        check_database_url(target)
    except ValueError as error:
        raise UsageError(f"--to: {error}") from None
    if admin.server_runs(configuration):
        raise UsageError("the server runs; stop it first, and any other of this database")
    contents = copy_database(configuration.database_url, target, _tell)
    _show(
        contents,
        f"copied and compared. Go on with it: url = {json.dumps(target)} under [database] in "
        f"{config_file}",
        output,
    )


@db.command()
@click.argument("file", type=click.Path(path_type=Path))
@config_option
@output_option
def backup(*, file: Path, config_file: Path, output: str) -> None:
    """Write everything into the new FILE, while the server runs or not."""
    from keycensus_collector import admin
    from keycensus_collector.config import load
    from keycensus_collector.copying.backup import back_up, seal
    from keycensus_collector.store.address import is_postgresql
    from keycensus_collector.store.making import unfinished_beside

    configuration, file = load(config_file), file.absolute()
    url = configuration.database_url
    if file.exists():
        raise UsageError(f"{file} is there already; name another file")
    if is_postgresql(url) or not admin.server_runs(configuration):
        contents = back_up(url, file, _tell)
    else:
        # The server copies its file, which it may not share, where it may write.
        copied = configuration.state_directory / f"backup-{secrets.token_hex(8)}"
        call(config_file, "db.backup", {"file": str(copied)}, patience_seconds=_BACKUP_SECONDS)
        unfinished = unfinished_beside(file)
        shutil.move(copied, unfinished)
        contents = seal(unfinished, file)
    _show(contents, f"in {file}, with the digest of each table", output)


@db.command()
@click.argument("file", type=click.Path(path_type=Path))
@config_option
@output_option
def restore(*, file: Path, config_file: Path, output: str) -> None:
    """Put the backup in FILE into a new database, at the address that is configured."""
    from keycensus_collector import admin
    from keycensus_collector.config import load
    from keycensus_collector.copying.backup import restore as restore_into

    configuration = load(config_file)
    if admin.server_runs(configuration):
        raise UsageError("the server runs; stop it first, and move its database away")
    contents = restore_into(file.absolute(), configuration.database_url, _tell)
    _show(contents, "restored and compared. Start it with: keycensus-collector serve", output)


def _tell(table: str, rows: int) -> None:
    if rows and sys.stderr.isatty():
        click.echo(f"{table}: {rows} rows", err=True)


def _show(contents: Mapping[str, Content], text: str, output: str) -> None:
    rows = sum(content.rows for content in contents.values())
    result = {
        name: {"rows": content.rows, "sha256": content.digest.hex()}
        for name, content in sorted(contents.items())
    }
    show_result(result, f"{len(contents)} tables, {rows} rows: {text}", output)
