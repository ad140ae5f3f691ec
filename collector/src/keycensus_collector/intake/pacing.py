"""How fast one agent may go: its messages are decoded, and its stream begins, when its quota has room.

Who sends more than its share waits; who would wait for too long is told to come back. Bytes are
counted before anything is decoded, since decoding is what costs; rows when their number is known, and
before what they are made of is: two bytes are enough for one.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from keycensus_collector.authority.peer import Peer
from keycensus_collector.authority.standing import ACTIVE
from keycensus_collector.errors import Refusal
from keycensus_collector.intake import convert
from keycensus_collector.intake.model import LISTING_ROWS, WANTED_BLOBS, Batch, Limits, Message
from keycensus_collector.intake.quota import Quota
from keycensus_collector.intake.rows import COUNTERS, Prepared, prepare
from keycensus_collector.intake.shared import Intake
from keycensus_proto.v1 import report_pb2

# What an agent may send beyond the limit that it was told, each item of which is answered: its batch may
# have been made under an older limit. More than that is no mistake.
_GIANT_BATCH = 4
# A message up to this size, of so many items, is decoded at once, in a fraction of a millisecond; others wait meanwhile
# for a longer one no more than for a turn of the event loop.
_SMALL_BYTES = 16 * 1024
_FEW_ITEMS = 128
_MOST_COUNTERS = 4 * COUNTERS

Decoded = Message | Prepared


class _TooManyError(Refusal):
    """A message has more items than any may."""

    def __init__(self, items: int, what: str) -> None:
        super().__init__("protocol", f"a {what} of {items} items")
        self.items = items


class Pace:
    """The pace of one agent's stream, by the quota that all its streams share."""

    def __init__(self, intake: Intake, peer: Peer, quota: Quota) -> None:
        self._intake = intake
        self._limits: Limits = intake.limits
        self._peer = peer
        self._quota = quota

    async def begin(self) -> None:
        """Let streams begin no faster than one agent may; Refusal "busy" for one too many.

        Not for who is shut out: the machines of one image share an identity, and each is to be told.
        """
        if self._peer.standing != ACTIVE:
            return
        seconds = self._quota.take_hello(_now())
        if seconds:
            await asyncio.sleep(min(seconds, self._limits.patience_seconds))
            seconds = self._quota.take_hello(_now())
        if seconds:
            text = "this agent opens one stream after another"
            raise Refusal("busy", text, retry_after_seconds=math.ceil(seconds))

    async def rows(self, count: int) -> None:
        """Count rows that something cost, and make the agent wait for them; Refusal "busy"."""
        await self._wait(self._quota.take_rows(count, _now()))

    async def decode(self, data: bytes) -> tuple[Decoded | None, int]:
        """Return a message and its size in bytes, when the agent's quota has room for it.

        None for a message without content. Raises DecodeError, Refusal "busy" or "protocol".
        """
        if len(data) > self._limits.message_hard_bytes:
            raise Refusal("protocol", f"a message of {len(data)} bytes is over the limit")
        now = _now()
        # Rows that came before are paid for first, whichever stream brought them.
        await self._wait(
            max(self._quota.take_message(len(data), now), self._quota.take_rows(0, now))
        )
        try:
            decoded = await self._decoded(data)
        except _TooManyError as error:
            self._quota.take_rows(error.items, _now())
            raise
        if not isinstance(decoded, Prepared):
            return decoded, len(data)
        now = _now()
        seconds = self._quota.take_rows(decoded.change_count, now), self._quota.take_batch(now)
        await self._wait(max(seconds))
        return decoded, decoded.row_bytes

    async def _decoded(self, data: bytes) -> Decoded | None:
        """Decode a message here if that takes no time, else in a thread."""
        request = None
        if len(data) <= _SMALL_BYTES:
            request = report_pb2.ReportRequest.FromString(data)
            if self._count(request) <= _FEW_ITEMS:
                return self._converted(request, lambda: None)

        def convert_all(give_way: Callable[[], None]) -> Decoded | None:
            whole = report_pb2.ReportRequest.FromString(data) if request is None else request
            self._count(whole)
            return self._converted(whole, give_way)

        return await self._intake.compute(convert_all, asker=self._peer.agent_no)

    def _count(self, request: report_pb2.ReportRequest) -> int:
        """Return how many items a message has that each cost something; _TooManyError if that is no mistake."""
        what = request.WhichOneof("message") or ""
        if what == "batch":
            count, most = len(request.batch.changes), _GIANT_BATCH * self._limits.batch_changes
            count += len(request.batch.counters.values)
        elif what == "listing":
            count, most = len(request.listing.rows), LISTING_ROWS
        elif what == "cannot_supply":
            count, most = len(request.cannot_supply.blobs), WANTED_BLOBS
        elif what == "heartbeat":
            count, most = len(request.heartbeat.counters.values), _MOST_COUNTERS
        else:
            return 0
        if count > most:
            raise _TooManyError(count, what)
        return count

    def _converted(
        self, request: report_pb2.ReportRequest, give_way: Callable[[], None]
    ) -> Decoded | None:
        message = convert.message_of(request)
        return prepare(message, self._limits, give_way) if isinstance(message, Batch) else message

    async def _wait(self, seconds: float) -> None:
        """Make the agent wait for its quota; Refusal "busy" if that would take too long.

        The refusal waits as well: who comes back at once costs a handshake each time.
        """
        patience = self._limits.patience_seconds
        if seconds > patience:
            await asyncio.sleep(patience)
            text = "this agent sends more than its share"
            raise Refusal("busy", text, retry_after_seconds=math.ceil(seconds))
        if seconds > 0:
            await asyncio.sleep(seconds)


def _now() -> float:
    return asyncio.get_running_loop().time()
