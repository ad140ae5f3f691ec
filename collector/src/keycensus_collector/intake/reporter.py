"""Intake as the port sees it: serves report streams, one newest stream an agent.

The port has authenticated the peer. A ban, an eviction, or a newer stream at another process end an
open stream within `Limits.watch_seconds`; each batch's transaction checks the same once more.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Protocol

import structlog
from sqlalchemy import Connection, select

from keycensus_collector.authority.peer import Peer
from keycensus_collector.authority.standing import ACTIVE, ended
from keycensus_collector.clock import Clock
from keycensus_collector.errors import Refusal, StoreError
from keycensus_collector.intake import convert
from keycensus_collector.intake.bulk import KEYS, Keyed
from keycensus_collector.intake.collecting import Collecting
from keycensus_collector.intake.model import Limits
from keycensus_collector.intake.quota import Quota
from keycensus_collector.intake.shared import Intake
from keycensus_collector.intake.stream import Stream
from keycensus_collector.store.engine import Store
from keycensus_collector.store.schema import agent, session

_STATES = Keyed(
    select(agent.c.agent_no, agent.c.state, session.c.session)
    .join(session, session.c.agent_no == agent.c.agent_no)
    .where(agent.c.agent_no.in_(KEYS))
)

_log = structlog.get_logger()


class Writer(Protocol):
    """What of a gRPC call's context intake needs."""

    async def write(self, message: Any, /) -> None:  # noqa: ANN401 - as gRPC declares it
        """Send one response."""
        ...


class Reporter:
    """Serves report streams over one store."""

    def __init__(self, store: Store, clock: Clock, limits: Limits | None = None) -> None:
        self._intake = Intake(store, clock, limits or Limits())
        self._collecting = Collecting(self._intake)
        self._streams: dict[int, Stream] = {}
        self._quotas: dict[int, Quota] = {}
        self._watching: asyncio.Task[None] | None = None

    async def serve(self, requests: AsyncIterator[bytes], context: Writer, peer: Peer) -> None:
        """Serve one stream of `peer` until it ends; what there is to say goes to `context.write`.

        `requests` are ReportRequests as they came, not decoded.
        """
        now = asyncio.get_running_loop().time()
        quota = self._quotas.setdefault(peer.agent_no, Quota(self._intake.limits, now))
        stream = Stream(self._intake, peer, context.write, quota)
        try:
            await stream.run(requests, self._enter)
        finally:
            if self._streams.get(peer.agent_no) is stream:
                del self._streams[peer.agent_no]
            if not self._streams and self._watching is not None:
                self._watching.cancel()
                self._watching = None

    def scan_again(self, agent_no: int, reason: str) -> bool:
        """Ask an agent for a new sweep; False if it has no stream open here."""
        stream = self._streams.get(agent_no)
        if stream is None:
            return False
        stream.say(convert.scan_again(reason))
        return True

    def _enter(self, stream: Stream) -> None:
        """Make a stream its agent's newest, if it is, and end the other."""
        number = stream.peer.agent_no
        older = self._streams.get(number)
        if older is not None and older.session > stream.session:
            older, stream = stream, older
        self._streams[number] = stream
        if older is not None:
            older.stop(_superseded())
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        """End streams whose agent may no longer write. Cancelled with the last stream."""
        while True:
            await asyncio.sleep(self._intake.limits.watch_seconds)
            streams = dict(self._streams)
            try:
                states = await self._states(sorted(streams))
                await self._collecting.step(asyncio.get_running_loop().time())
            except StoreError as error:
                _log.error("streams.unwatched", error_id=error.error_id, error=str(error))
                continue
            for number, stream in streams.items():
                refusal = _refusal(states.get(number), stream)
                if refusal is not None:
                    stream.stop(refusal)

    async def _states(self, numbers: list[int]) -> dict[int, tuple[str, int]]:
        """Return state and newest session of agents."""

        def work(connection: Connection) -> dict[int, tuple[str, int]]:
            rows = _STATES.rows(connection, numbers)
            return {number: (state, newest) for number, state, newest in rows}

        return await self._intake.store.run_read(work)


def _refusal(state: tuple[str, int] | None, stream: Stream) -> Refusal | None:
    if state is None:
        return Refusal("unknown", "this agent is not enrolled here any more")
    name, newest = state
    if name != ACTIVE:
        return ended(name, stream.peer.agent_id)
    return _superseded() if newest > stream.session else None


def _superseded() -> Refusal:
    return Refusal("superseded", "a newer stream of this agent is open; use that one")
