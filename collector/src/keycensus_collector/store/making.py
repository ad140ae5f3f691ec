"""A new database that counts when all of it is there: by the rename of a file, or its deployment's row."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, select

from keycensus_collector.errors import StoreError
from keycensus_collector.store.address import is_postgresql
from keycensus_collector.store.engine import Store
from keycensus_collector.store.revisions import revision_status
from keycensus_collector.store.schema import deployment
from keycensus_collector.store.sqlite import database_path


@contextmanager
def new_database(url: str) -> Iterator[Store]:
    """Give a store with all tables and no deployment; a file gets its name at the end of the block.

    Raises StoreError if there is a deployment. In PostgreSQL, tables without one are what somebody
    left who was killed.
    """
    if is_postgresql(url):
        if Store.peek(url, holds_deployment):
            raise StoreError("the database holds a deployment already; nothing was changed")
        found = Store.revision_of(url).current
        with Store.open(url, upgrade=True) if found else Store.create(url) as store:
            yield store
        return
    path = database_path(url)
    if path.exists():
        raise StoreError(f"{path} is there already; nothing was changed")
    unfinished = unfinished_beside(path)
    with Store.create(f"sqlite:///{unfinished}") as store:
        yield store
    finish(unfinished, path)


def holds_deployment(connection: Connection) -> bool:
    """Say whether `init` has been at a database, of whatever revision it is."""
    if not revision_status(connection).current:
        return False
    return connection.execute(select(deployment.c.name)).first() is not None


def unfinished_beside(path: Path) -> Path:
    """Return the name of a file to be made, and remove what an earlier try left there."""
    unfinished = path.with_name(path.name + ".init")
    for leftover in ("", "-wal", "-shm", ".lock"):
        unfinished.with_name(unfinished.name + leftover).unlink(missing_ok=True)
    return unfinished


def finish(unfinished: Path, path: Path) -> None:
    """Give a finished file its name; StoreError if somebody else was faster."""
    unfinished.with_name(unfinished.name + ".lock").unlink(missing_ok=True)
    try:
        os.link(unfinished, path)  # unlike a rename, never over a database
    except FileExistsError:
        raise StoreError(f"{path} is there already; nothing was changed") from None
    unfinished.unlink()
