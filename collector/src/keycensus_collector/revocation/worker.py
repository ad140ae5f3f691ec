"""The worker that takes revocation lists and keeps the status of certificates true.

What is to be done was noted in the transactions that made it necessary (`queue`). Lists come before
statuses, and statuses that were asked for before a look at all that a series tells of. Everything is done
in pieces with a transaction each, none of which lasts long; a crash between them loses nothing, and what
is done twice gives the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial

import structlog
from sqlalchemy import Connection

from keycensus_collector.catalogue.facts import RevokedEntry
from keycensus_collector.catalogue.parser import CatalogueParser, ListLostError
from keycensus_collector.clock import Clock
from keycensus_collector.revocation import queue, statuses, taking
from keycensus_collector.store.duties import Duties
from keycensus_collector.store.engine import Store

# Certificates worked out in one step.
AT_ONCE = 1_000
POLL_SECONDS = 0.25
RETRY_SECONDS = 5.0

_log = structlog.get_logger(__name__)


class Worker:
    """Works until cancelled. Made from a store and a clock."""

    def __init__(
        self, store: Store, clock: Clock, *, parser: CatalogueParser | None = None
    ) -> None:
        self._store = store
        self._clock = clock
        self._parser = parser or CatalogueParser()
        self._duties = Duties(store)

    async def run(self) -> None:
        """Work until cancelled; trouble is logged and tried again."""
        try:
            await self._run()
        finally:
            self.close()
            await self._duties.release()

    def close(self) -> None:
        """End the parsing child, which `run` does by itself."""
        self._parser.close()

    async def _run(self) -> None:
        while True:
            try:
                worked = await self._duties.is_ours("revocation") and await self.run_once()
            except Exception:  # noqa: BLE001 - logged whole; what was asked for is still there
                _log.exception("revocation.round-failed")
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if not worked:
                await asyncio.sleep(POLL_SECONDS)

    async def run_once(self) -> bool:
        """Do one piece of work; False if there is none."""
        items = await self._store.run_read(_next)
        if not items:
            return False
        kind = items[0].kind
        if kind == "list":
            await self._take(items[0])
        elif kind == "certificate":
            await self._settle([item.subject for item in items], items)
        elif kind == "series":
            await self._sweep(items[0])
        else:
            await self._store.run_write(partial(_forget, item=items[0]))
        return True

    async def _take(self, item: queue.Item) -> None:
        """Verify a list and write its entries; then it comes into force."""
        waiting = await self._store.run_read(partial(taking.load, sha256=item.subject))
        taken = None
        if waiting is not None:
            ders = [der for _, der in waiting.signers]
            facts, signed = await asyncio.to_thread(self._parser.read_list, waiting.data, ders)
            taken = await self._store.run_write(
                partial(taking.decide, waiting=waiting, facts=facts, signed=signed)
            )
        if waiting is not None and taken is not None:
            await self._write(waiting, taken)
        await self._store.run_write(partial(queue.done, items=[item]))

    async def _write(self, waiting: taking.Waiting, taken: taking.Taken) -> None:
        issuers: set[bytes] = set()
        pieces = self._parser.entries_of(waiting.data)
        try:
            while piece := await asyncio.to_thread(_next_piece, pieces):
                write = partial(taking.write_entries, taken=taken, entries=piece)
                issuers |= await self._store.run_write(write)
        except ListLostError as error:
            _log.warning("revocation.list-lost", sha256=waiting.sha256.hex(), why=str(error))
            await self._store.run_write(
                partial(
                    taking.give_up,
                    taken=taken,
                    sha256=waiting.sha256,
                    why="its entries could not be read to the end",
                )
            )
            return
        finally:
            pieces.close()
        now_ms = self._clock.now_ms()
        await self._store.run_write(
            partial(taking.come_into_force, taken=taken, issuers=issuers, now_ms=now_ms)
        )

    async def _settle(self, certificates: list[bytes], items: list[queue.Item]) -> None:
        plan = await self._store.run_read(partial(statuses.work_out, certificates=certificates))
        now_ms = self._clock.now_ms()

        def write(connection: Connection) -> None:
            statuses.write(connection, plan, now_ms)
            queue.done(connection, items)

        await self._store.run_write(write)

    async def _sweep(self, item: queue.Item) -> None:
        """Look at some of the certificates of a series."""
        find = partial(
            taking.certificates_of, series_no=item.number, after=item.after, limit=AT_ONCE
        )
        found = await self._store.run_read(find)
        if len(found) < AT_ONCE:
            await self._settle(found, [item])
            return
        await self._settle(found, [])
        await self._store.run_write(partial(queue.go_on, item=item, after=found[-1]))


def _next(connection: Connection) -> list[queue.Item]:
    limits = {"list": 1, "certificate": AT_ONCE, "series": 1, "forget": 1}
    for kind, limit in limits.items():
        items = queue.take(connection, kind, limit)
        if items:
            return items
    return []


def _next_piece(pieces: Iterator[list[RevokedEntry]]) -> list[RevokedEntry]:
    return next(pieces, [])


def _forget(connection: Connection, item: queue.Item) -> None:
    if not taking.forget_some(connection, item.number):
        queue.done(connection, [item])
