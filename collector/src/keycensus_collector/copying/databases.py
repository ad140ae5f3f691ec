"""One database into a new one, of the same or the other product: all of it, or nothing.

The source is held meanwhile, so nobody writes to it. What was written is read back and compared with
what was read, before it counts.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection

from keycensus_collector.copying.tables import Content, check, clear, copy_rows
from keycensus_collector.store.engine import Store
from keycensus_collector.store.making import new_database

Tell = Callable[[str, int], None]


def copy_database(source_url: str, target_url: str, tell: Tell) -> dict[str, Content]:
    """Copy a database that no server uses into a new one; return what it holds, by table.

    `tell` hears of each table and its rows. Raises StoreError, and leaves nothing behind but empty
    tables in PostgreSQL, if the target is in use, can't be written, or holds something else at the end.
    """
    with (
        Store.open(source_url) as source,
        source.write() as reading,
        new_database(target_url) as target,
        target.write() as writing,
    ):
        _hold(reading)
        clear(writing)
        contents = copy_rows(reading, writing, tell)
        check(writing, contents)
    return contents


def _hold(reading: Connection) -> None:
    """Let the source wait as long as the target is compared: a server ends who is idle for a minute."""
    if reading.dialect.name == "postgresql":
        reading.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
