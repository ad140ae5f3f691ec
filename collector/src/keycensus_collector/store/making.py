"""A new database that counts when all of it is there: by the rename of a file, or its deployment's row."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import select

from keycensus_collector.errors import StoreError
from keycensus_collector.store.address import is_postgresql
from keycensus_collector.store.engine import Store
from keycensus_collector.store.schema import deployment
from keycensus_collector.store.sqlite import database_path


@contextmanager
def new_database(url: str) -> Iterator[Store]:
    """Give a store with all tables and no deployment; a file gets its name at the end of the block.

    Raises StoreError if there is a deployment. In PostgreSQL, tables without one are what somebody
    left who was killed.
    """
    if is_postgresql(url):
        found = Store.revision_of(url).current
        with Store.open(url, upgrade=True) if found else Store.create(url) as store:
            with store.read() as connection:
                if connection.execute(select(deployment)).first() is not None:
                    raise StoreError(f"{store.name} holds a deployment; nothing was changed")
            yield store
        return
    path = database_path(url)
    if path.exists():
        raise StoreError(f"{path} is there already; nothing was changed")
    unfinished = unfinished_beside(path)
    with Store.create(f"sqlite:///{unfinished}") as store:
        yield store
    finish(unfinished, path)


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
