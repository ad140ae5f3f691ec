"""One report stream of one agent, from its hello to its end (protos/README.md, section 5).

    1 the hello comes within its deadline, opens a session and is answered
    2 offers, blobs: the exchange asks for what is missing
    3 batches: one transaction each, then the ack
    4 heartbeats, digests, listings
    5 whatever ends it is said in one refusal, the last message; or nothing, if the agent leaves

A task reads and decodes ahead, two messages at most; everything else happens in `run`, one step
after another. The agent is authenticated, not trusted: nothing that it sends may raise anything but
a refusal, and nothing that it sends is logged but numbers.
"""

from __future__ import annotations

import asyncio
import math
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from google.protobuf.message import DecodeError
from sqlalchemy import Connection, select

from keycensus_collector.authority.peer import Peer, check_peer
from keycensus_collector.errors import Refusal, StoreError
from keycensus_collector.failpoints import reach
from keycensus_collector.intake import convert, reconcile
from keycensus_collector.intake.batches import Allowance, Committed, commit_batch
from keycensus_collector.intake.exchange import Exchange
from keycensus_collector.intake.hosts import counters_columns, touch
from keycensus_collector.intake.inbox import CAPACITY, Inbox, StreamEndedError
from keycensus_collector.intake.model import (
    CannotSupply,
    Digest,
    Heartbeat,
    Hello,
    Limits,
    Listing,
    Offer,
    ReceivedBlob,
    RowClass,
    StreamIdentity,
)
from keycensus_collector.intake.pacing import Decoded, Pace
from keycensus_collector.intake.quota import Quota
from keycensus_collector.intake.rows import Prepared, counters_of
from keycensus_collector.intake.session import TurnedAway, Welcome, open_session
from keycensus_collector.intake.shared import Intake
from keycensus_collector.store.schema import host
from keycensus_proto.v1 import report_pb2

# A group of blobs is written when none came for this long.
_GROUP_SECONDS = 0.05
# Heartbeats are written at most this often; they come every quarter of an hour.
_HEARTBEAT_SECONDS = 10.0
_STORE_RETRY_SECONDS = 60
# How long a stream that is to end may take to say so.
_STOP_SECONDS = 2.0
_FAILURE_RETRY_SECONDS = 30

# Messages wait for their turn up to this size together: two full batches.
_INBOX_BYTES = 1024 * 1024

Send = Callable[[report_pb2.ReportResponse], Awaitable[None]]

_log = structlog.get_logger()


@dataclass(slots=True)
class _Tally:
    batches: int = 0
    duplicates: int = 0
    changes: int = 0
    refused: int = 0
    blobs: int = 0


class Stream:
    """One stream. `run` serves it; `stop` ends it from outside."""

    def __init__(self, intake: Intake, peer: Peer, send: Send, quota: Quota) -> None:
        self.peer = peer
        self.session = 0
        self._intake = intake
        self._limits: Limits = intake.limits
        self._send = send
        self._quota = quota
        self._pace = Pace(intake, peer, quota)
        self._inbox: Inbox[Decoded] = Inbox()
        self._exchange = Exchange(intake, quota, self._inbox.wake, peer.agent_no)
        self._identity: StreamIdentity | None = None
        self._listings: dict[int, reconcile.Progress] = {}
        self._says: list[report_pb2.ReportResponse] = []
        self._heard_at = -math.inf
        self._tally = _Tally()
        self._serving: asyncio.Task[Any] | None = None
        self._cutting: asyncio.TimerHandle | None = None
        self._log = _log.bind(agent_id=peer.agent_id)

    def stop(self, refusal: Refusal) -> None:
        """End the stream with a refusal, as soon as what it is doing is done.

        An agent that takes nothing would hold it in the middle of a message for ever: after
        `_STOP_SECONDS` it is cut off.
        """
        self._inbox.stop(refusal)
        if self._serving is not None and self._cutting is None:
            loop = asyncio.get_running_loop()
            self._cutting = loop.call_later(_STOP_SECONDS, self._serving.cancel)

    def say(self, response: report_pb2.ReportResponse) -> None:
        """Send a message that the agent did not ask for."""
        self._says.append(response)
        self._inbox.wake()

    async def run(
        self,
        requests: AsyncIterator[bytes],
        opened: Callable[[Stream], None],
    ) -> None:
        """Serve the stream until it ends; `opened` is told once its session is open."""
        self._serving = asyncio.current_task()
        reading = asyncio.create_task(self._read(requests))
        try:
            await self._serve(opened)
        except StreamEndedError:
            await self._end()
        except Refusal as refusal:
            await self._refuse(refusal)
        except StoreError as error:
            self._log.error("stream.failed", error_id=error.error_id, error=str(error))
            text = "the collector can't store anything now; its log says why"
            await self._refuse(Refusal("busy", text, retry_after_seconds=_STORE_RETRY_SECONDS))
        except Exception as error:  # noqa: BLE001 - the border: one stream must not hurt others
            await self._refuse(self._broken(error))
        finally:
            if self._cutting is not None:
                self._cutting.cancel()
            self._serving = None
            self._exchange.close()
            reading.cancel()
            self._log.info(
                "stream.closed",
                session=self.session,
                batches=self._tally.batches,
                duplicates=self._tally.duplicates,
                changes=self._tally.changes,
                refused=self._tally.refused,
                blobs=self._tally.blobs,
                dropped_blobs=self._exchange.dropped,
            )

    def _broken(self, error: Exception) -> Refusal:
        """Log a fault of our own, and return what the agent is told of it."""
        self._log.error("stream.broken", error=type(error).__name__, at=_places_in_code(error))
        text = "the collector has a fault of its own; its log says more"
        return Refusal("busy", text, retry_after_seconds=_FAILURE_RETRY_SECONDS)

    async def _end(self) -> None:
        """Keep the blobs that came last; nobody waits for an answer."""
        try:
            await self._exchange.flush()
        except StoreError as error:
            self._log.error("stream.failed", error_id=error.error_id, error=str(error))

    async def _refuse(self, refusal: Refusal) -> None:
        self._log.info("stream.refused", reason=refusal.reason, text=str(refusal))
        response = convert.refusal(refusal.reason, str(refusal), refusal.retry_after_seconds)
        try:
            await self._send(response)
        except Exception as error:  # noqa: BLE001 - the agent is gone: nobody is left to tell
            self._log.debug("stream.unsaid", error=type(error).__name__)

    # --- reading ahead ------------------------------------------------------------------------

    async def _read(self, requests: AsyncIterator[bytes]) -> None:
        try:
            async for data in requests:
                if not await self._take_in(data):
                    return
        except Exception as error:  # noqa: BLE001 - a broken connection has many names in gRPC
            self._log.debug("stream.unreadable", error=type(error).__name__)
        finally:
            self._inbox.end()

    async def _take_in(self, data: bytes) -> bool:
        """Decode a message and put it into the inbox; whether to read on."""
        try:
            decoded, size = await self._pace.decode(data)
        except Refusal as refusal:
            self._inbox.stop(refusal)
        except DecodeError:
            self._inbox.stop(Refusal("protocol", "a message is no ReportRequest"))
        except Exception as error:  # noqa: BLE001 - the border, as in `run`
            self._inbox.stop(self._broken(error))
        else:
            if decoded is not None:
                await self._inbox.put(decoded, 1 + size * CAPACITY // _INBOX_BYTES)
            return True
        return False

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    # --- serving ------------------------------------------------------------------------------

    async def _serve(self, opened: Callable[[Stream], None]) -> None:
        await self._pace.begin()
        hello = await self._inbox.take(self._limits.hello_seconds)  # 1
        if not isinstance(hello, Hello):
            text = "a stream begins with hello, within seconds"
            raise Refusal("protocol", text)
        identity = await self._open(hello)
        opened(self)
        while True:
            message = await self._inbox.take(self._patience())
            if message is not None:
                await self._handle(identity, message)
                if self._inbox.has_items and not self._exchange.is_full:
                    continue
            for wanting in await self._exchange.work(self._now(), more_coming=message is not None):
                await self._send(
                    convert.want(wanting.offer, wanting.blobs, satisfied=wanting.satisfied)
                )
            while self._says:
                await self._send(self._says.pop(0))

    def _patience(self) -> float | None:
        if self._exchange.has_group:
            return _GROUP_SECONDS
        return self._exchange.seconds_to_wait(self._now())

    async def _open(self, hello: Hello) -> StreamIdentity:
        now_ms = self._intake.clock.now_ms()
        peer = self.peer
        welcome: Welcome | TurnedAway = await self._intake.write(
            lambda connection: open_session(connection, peer, hello, now_ms), asker=peer.agent_no
        )
        if isinstance(welcome, TurnedAway):
            raise welcome.refusal
        opened = welcome.opened
        self.session = opened.session
        self._log.info(
            "stream.opened",
            session=opened.session,
            new_instance=welcome.new_instance,
            restored=welcome.restored,
            bad_facts=welcome.bad_facts,
            list_wanted=opened.list_wanted,
        )
        await self._send(convert.hello_ack(opened, self._limits, now_ms))
        return StreamIdentity(peer, opened.session, opened.instance)

    async def _handle(self, identity: StreamIdentity, message: Decoded) -> None:
        match message:
            case Prepared():  # 3
                await self._commit(identity, message)
            case ReceivedBlob():  # 2
                self._tally.blobs += 1
                rows = self._exchange.receive(message, self._now())
                await self._pace.rows(rows)
            case Offer():
                # Each hash is looked up, stored or not.
                await self._pace.rows(len(message.manifests))
                self._exchange.offer(message)
            case CannotSupply():
                await self._pace.rows(len(message.blobs))
                self._exchange.cannot_supply(message, self._now())
            case Heartbeat():  # 4
                await self._heartbeat(message)
            case Digest():
                await self._compare(identity, message)
            case Listing():
                await self._merge(identity, message)
            case _:
                raise Refusal("protocol", "hello was said before")

    async def _commit(self, identity: StreamIdentity, prepared: Prepared) -> None:
        intake, unfit, now_ms = self._intake, self._exchange.unfit, self._intake.clock.now_ms()
        allowance = Allowance(self._quota, self._limits.rows_per_host)

        def work(connection: Connection) -> Committed:
            committed = commit_batch(
                connection,
                identity,
                prepared,
                cache=intake.cache,
                unfit=unfit,
                allowance=allowance,
                now_ms=now_ms,
            )
            reach("before_commit")
            return committed

        committed = await intake.write(work, asker=self.peer.agent_no)
        reach("after_commit_before_ack")
        self._tally.batches += 1
        self._tally.duplicates += committed.duplicate
        self._tally.changes += prepared.change_count
        self._tally.refused += len(committed.results)
        await self._send(convert.ack_response(committed.ack))

    async def _heartbeat(self, heartbeat: Heartbeat) -> None:
        now = self._now()
        if now - self._heard_at < _HEARTBEAT_SECONDS:
            return
        self._heard_at = now
        peer, now_ms = self.peer, self._intake.clock.now_ms()
        columns = counters_columns(counters_of(heartbeat.counters))

        def work(connection: Connection) -> None:
            check_peer(connection, peer)
            state = connection.execute(
                select(host.c.state).where(host.c.host_no == peer.host_no)
            ).scalar_one()
            touch(connection, peer.host_no, state, now_ms, columns)

        await self._intake.write(work, asker=peer.agent_no)

    async def _compare(self, identity: StreamIdentity, digest: Digest) -> None:
        equal, rows = await self._intake.store.run_read(
            lambda connection: reconcile.compare(connection, identity, digest)
        )
        await self._pace.rows(rows)
        if not equal:
            self._log.info("stream.differs", row_class=digest.row_class, rows=rows)
            await self._send(convert.list_request(digest.row_class, "digest"))

    async def _merge(self, identity: StreamIdentity, listing: Listing) -> None:
        now_ms, cache = self._intake.clock.now_ms(), self._intake.cache
        progress = self._listings.setdefault(listing.row_class, reconcile.Progress(now_ms))
        await self._pace.rows(len(listing.rows))
        await self._intake.write(
            lambda connection: reconcile.merge_piece(
                connection, identity, listing, progress, cache=cache, now_ms=now_ms
            ),
            asker=self.peer.agent_no,
        )
        if listing.more:
            if len(progress.wanted) >= reconcile.WANTED_KEYS:
                await self._tell_difference(listing.row_class, progress, more=True)
            return
        del self._listings[listing.row_class]
        self._log.info(
            "stream.listed",
            row_class=listing.row_class,
            wanted=progress.wanted_in_all,
            removed=progress.removed,
        )
        if listing.row_class == RowClass.GAP.value and progress.removed:
            # What those gaps covered was not removed by the list of places before.
            await self._send(convert.list_request(RowClass.PLACE.value, "gaps closed"))
        await self._tell_difference(listing.row_class, progress, more=False)

    async def _tell_difference(
        self, row_class: int, progress: reconcile.Progress, *, more: bool
    ) -> None:
        """Say what is wanted so far; how much was removed stands in the last piece."""
        wanted = progress.take_wanted()
        rest = wanted[reconcile.WANTED_KEYS :]
        while rest:
            head, wanted = wanted[: reconcile.WANTED_KEYS], rest
            rest = wanted[reconcile.WANTED_KEYS :]
            await self._send(convert.difference(row_class, head, removed=0, more=True))
        removed = 0 if more else progress.removed
        await self._send(convert.difference(row_class, wanted, removed=removed, more=more))


def _places_in_code(error: Exception) -> list[str]:
    """Return where an error came from; its text may hold what the agent sent."""
    frames = traceback.extract_tb(error.__traceback__)
    return [f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames]
