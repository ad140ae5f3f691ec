"""Periodic work that one collector does for all that share a database: catalogue, owners, silence.

Whoever holds a duty does the work; it is held for seconds and renewed by who goes on, so that another
takes over soon after a collector died. Holding one is no lock: each transaction of such work is right
by itself, whoever else does the same. A database that is one process's alone needs none of this.
"""

from __future__ import annotations

import asyncio
import secrets
from functools import partial

from sqlalchemy import Connection, delete, select

from keycensus_collector.errors import StoreError
from keycensus_collector.store.engine import Store, upsert
from keycensus_collector.store.tables.sharing import duty

HELD_MS = 5_000
# A holder renews after so long; who holds nothing looks as often.
_RENEW_SECONDS = 1.5


class Duties:
    """What this collector holds. For one event loop."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._holder = secrets.token_bytes(16)
        self._asked: dict[str, tuple[float, bool]] = {}

    async def is_ours(self, name: str) -> bool:
        """Say whether this collector does the work `name` now."""
        if not self._store.is_shared:
            return True
        now = asyncio.get_running_loop().time()
        at, granted = self._asked.get(name, (-_RENEW_SECONDS, False))
        if now - at < _RENEW_SECONDS:
            return granted
        granted = await self._store.run_read(
            partial(_is_free, name=name, holder=self._holder)
        ) and await self._store.run_write(partial(_take, name=name, holder=self._holder))
        self._asked[name] = (now, granted)
        return granted

    async def release(self) -> None:
        """Let others take over at once; if the database can't be reached, they do in seconds."""
        if not any(granted for _, granted in self._asked.values()):
            return
        self._asked.clear()
        try:
            await self._store.run_write(partial(_release, holder=self._holder))
        except StoreError:
            return


def _is_free(connection: Connection, *, name: str, holder: bytes) -> bool:
    row = connection.execute(
        select(duty.c.holder, duty.c.until_ms).where(duty.c.name == name)
    ).one_or_none()
    return row is None or row.holder == holder or row.until_ms <= _now_ms(connection)


def _take(connection: Connection, *, name: str, holder: bytes) -> bool:
    """Take or renew a duty, unless another came first."""
    if not _is_free(connection, name=name, holder=holder):
        return False
    values = {"holder": holder, "until_ms": _now_ms(connection) + HELD_MS}
    statement = upsert(connection, duty).values(name=name, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=values))
    return True


def _release(connection: Connection, *, holder: bytes) -> None:
    connection.execute(delete(duty).where(duty.c.holder == holder))


def _now_ms(connection: Connection) -> int:
    """Return the database's time: the clocks of collectors differ."""
    number: int = connection.exec_driver_sql(
        "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint"
    ).scalar_one()
    return number
