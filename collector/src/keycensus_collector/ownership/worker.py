"""The worker that keeps owners true: takes what was asked for, and looks at everything when rules change.

What is owned by a host or a rule may be millions of things: they are worked out a chunk at a time, read
outside of any writing transaction and written in one of their own. A crash loses nothing: what was asked
for stays until its transaction. Two collectors may work out the same chunk, and write the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog
from sqlalchemy import Connection, Row, delete, select, update

from keycensus_collector.clock import Clock
from keycensus_collector.ownership import artifacts, facts, hosts, queue
from keycensus_collector.ownership.following import ruled_by_line
from keycensus_collector.ownership.rules import matches, rules_in_force, winners
from keycensus_collector.ownership.sweeps import next_of
from keycensus_collector.store.duties import Duties
from keycensus_collector.store.engine import Store
from keycensus_collector.store.tables.ownership import (
    CERTIFICATE,
    fact_rule,
    owner_rule,
    owner_setting,
    owner_sweep,
)

# So many are worked out at once: a host has some hundred places, a certificate mostly one.
HOSTS_AT_ONCE = 8
ARTIFACTS_AT_ONCE = 500
_SWEPT_AT_ONCE = 4_000
POLL_SECONDS = 0.25
RETRY_SECONDS = 5.0
# What rules match may change with time alone (`expires<30d`): all is looked at once a day.
SWEEP_MS = 86_400_000

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Chunk:
    """What is worked out together: hosts by number, or certificates or keys by hash."""

    kind: str
    hosts: Sequence[int] = ()
    hashes: Sequence[bytes] = ()
    items: Sequence[queue.Item] = ()
    sweep: int | None = None  # the stamp of the sweep that it belongs to


class Worker:
    """Works until cancelled. Made from a store and a clock."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._duties = Duties(store)

    async def run(self) -> None:
        """Work until cancelled; trouble is logged and tried again."""
        try:
            await self._run()
        finally:
            await self._duties.release()

    async def _run(self) -> None:
        while True:
            try:
                worked = await self._duties.is_ours("owners") and await self.run_once()
            except Exception:  # noqa: BLE001 - logged whole; what was asked for is still there
                _log.exception("ownership.round-failed")
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if not worked:
                await asyncio.sleep(POLL_SECONDS)

    async def run_once(self) -> bool:
        """Work out one chunk; False if there is nothing to do."""
        now_ms = self._clock.now_ms()
        chunk = await self._store.run_read(_next)
        if chunk is None:
            if await self._store.run_read(partial(_is_due, now_ms=now_ms)):
                await self._store.run_write(partial(_begin_sweep, now_ms=now_ms))
                return True
            return False
        made = await self._store.run_read(partial(_plan, chunk=chunk, now_ms=now_ms))
        await self._store.run_write(partial(_write, chunk=chunk, made=made, now_ms=now_ms))
        return True


def settle(connection: Connection, now_ms: int) -> None:
    """Work out all that is waiting, in this transaction: for tests and small inventories."""
    while (chunk := _next(connection)) is not None:
        _write(connection, chunk, _plan(connection, chunk, now_ms), now_ms)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a chunk changes: owners, then labels and importance of hosts and certificates."""

    owners: hosts.Plan | artifacts.Plan
    facts: facts.FactPlan | None


def _next(connection: Connection) -> _Chunk | None:
    """Return what comes next: hosts before what follows from them, and what is asked before sweeps."""
    items = queue.take(connection, ["host"], HOSTS_AT_ONCE)
    if items:
        return _Chunk("host", hosts=[item.number for item in items], items=items)
    for kind in queue.KINDS:
        items = queue.take(connection, [kind], ARTIFACTS_AT_ONCE)
        if items:
            return _Chunk(kind, hashes=[item.artifact for item in items], items=items)
    for kind in queue.SWEEPS:
        row = connection.execute(
            select(owner_sweep).where(owner_sweep.c.kind == kind)
        ).one_or_none()
        if row is not None:
            return _swept(connection, kind, row)
    return None


def _swept(connection: Connection, kind: str, row: Row[Any]) -> _Chunk:
    if kind == "host":
        numbers = next_of(connection, kind, row.number, HOSTS_AT_ONCE)
        return _Chunk(kind, hosts=numbers, sweep=row.stamp)
    hashes = next_of(connection, kind, row.artifact, _SWEPT_AT_ONCE)
    return _Chunk(kind, hashes=hashes, sweep=row.stamp)


def _plan(connection: Connection, chunk: _Chunk, now_ms: int) -> _Plan:
    rules = rules_in_force(connection)
    if chunk.kind == "host":
        numbers = list(chunk.hosts)
        of_hosts = matches(
            connection, rules, "hosts", lambda tables: tables.host.c.host_no.in_(numbers), now_ms
        )
        of_places = matches(
            connection, rules, "places", lambda tables: tables.place.c.host_no.in_(numbers), now_ms
        )
        owners = hosts.plan(connection, numbers, winners(of_hosts), winners(of_places))
        told = facts.plan(
            connection,
            "hosts",
            numbers,
            lambda tables: tables.host.c.host_no.in_(numbers),
            now_ms,
        )
        return _Plan(owners, told)
    kind, hashes = queue.KINDS[chunk.kind], list(chunk.hashes)
    if kind == CERTIFICATE:
        found = matches(
            connection,
            rules,
            "certificates",
            lambda tables: tables.certificate.c.sha256.in_(hashes),
            now_ms,
        )
        told = facts.plan(
            connection,
            "certificates",
            hashes,
            lambda tables: tables.certificate.c.sha256.in_(hashes),
            now_ms,
        )
        said = winners(found)
        unsaid = [sha256 for sha256 in hashes if sha256 not in said]
        said |= ruled_by_line(connection, rules, unsaid, now_ms)
        return _Plan(artifacts.plan(connection, kind, hashes, said), told)
    found = matches(
        connection, rules, "keys", lambda tables: tables.key.c.key_id.in_(hashes), now_ms
    )
    return _Plan(artifacts.plan(connection, kind, hashes, winners(found)), None)


def _write(connection: Connection, chunk: _Chunk, made: _Plan, now_ms: int) -> None:
    if isinstance(made.owners, hosts.Plan):
        hosts.write(connection, made.owners, now_ms)
    else:
        artifacts.write(connection, made.owners, now_ms)
    if made.facts is not None:
        facts.write(connection, made.facts, now_ms)
    queue.done(connection, chunk.items)
    if chunk.sweep is not None:
        _advance(connection, chunk, chunk.sweep)


def _advance(connection: Connection, chunk: _Chunk, sweep_stamp: int) -> None:
    """Move a sweep on, or end it, unless another one was asked for meanwhile."""
    sweep = owner_sweep.c
    same = sweep.kind == chunk.kind, sweep.stamp == sweep_stamp
    if not chunk.hosts and not chunk.hashes:
        connection.execute(delete(owner_sweep).where(*same))
        return
    connection.execute(
        update(owner_sweep)
        .where(*same)
        .values(
            number=chunk.hosts[-1] if chunk.hosts else 0,
            artifact=chunk.hashes[-1] if chunk.hashes else b"",
        )
    )


_SWEPT = "swept"


def _is_due(connection: Connection, now_ms: int) -> bool:
    """Whether there are rules, and the last look at everything was a day ago."""
    tables = owner_rule, fact_rule
    rules = [select(each.c.rule_no).where(each.c.to_ms.is_(None)).limit(1) for each in tables]
    if not any(connection.execute(statement).first() for statement in rules):
        return False
    last = connection.execute(
        select(owner_setting.c.from_ms).where(owner_setting.c.name == _SWEPT)
    ).scalar_one_or_none()
    return last is None or now_ms - last >= SWEEP_MS


def _begin_sweep(connection: Connection, now_ms: int) -> None:
    connection.execute(delete(owner_setting).where(owner_setting.c.name == _SWEPT))
    connection.execute(
        owner_setting.insert().values(name=_SWEPT, value="", from_ms=now_ms, to_ms=None)
    )
    queue.ask_for_sweep(connection, now_ms)
