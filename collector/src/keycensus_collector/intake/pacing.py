"""How fast one agent may go: its messages are decoded, and its stream begins, when its quota has room.

Who sends more than its share waits; who would wait for too long is told to come back. Sizes are
checked before anything is decoded, since decoding is what costs.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from keycensus_collector.authority.peer import Peer
from keycensus_collector.authority.standing import ACTIVE
from keycensus_collector.errors import Refusal
from keycensus_collector.intake import convert
from keycensus_collector.intake.model import Batch, Limits, Message
from keycensus_collector.intake.quota import Quota
from keycensus_collector.intake.rows import Prepared, prepare
from keycensus_collector.intake.shared import Intake
from keycensus_proto.v1 import report_pb2

# What an agent may send beyond the limit that it was told, each item of which is answered: its batch may
# have been made under an older limit. More than that is no mistake.
_GIANT_BATCH = 4

Decoded = Message | Prepared


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

    async def decode(self, request: report_pb2.ReportRequest) -> tuple[Decoded | None, int]:
        """Return a message and its size in bytes, when the agent's quota has room for it.

        None for a message without content. Raises Refusal "busy" or "protocol".
        """
        if request.WhichOneof("message") == "batch":
            return await self._decode_batch(request)
        size = self._checked_size(request)
        await self._wait(self._quota.take_message(size, _now()))
        return convert.message_of(request), size

    async def _decode_batch(self, request: report_pb2.ReportRequest) -> tuple[Prepared, int]:
        """Decode a batch, which takes its time: the quota is asked before."""
        size, now = self._checked_size(request), _now()
        if len(request.batch.changes) > _GIANT_BATCH * self._limits.batch_changes:
            raise Refusal("protocol", f"a batch of {len(request.batch.changes)} changes")
        await self._wait(
            max(
                self._quota.take_message(size, now),
                self._quota.take_rows(len(request.batch.changes), now),
                self._quota.take_batch(now),
            )
        )
        prepared = await self._intake.compute(
            lambda give_way: self._prepare(request, give_way), asker=self._peer.agent_no
        )
        return prepared, prepared.row_bytes

    def _checked_size(self, request: report_pb2.ReportRequest) -> int:
        size = request.ByteSize()
        if size > self._limits.message_hard_bytes:
            raise Refusal("protocol", f"a message of {size} bytes is over the limit")
        return size

    def _prepare(self, request: report_pb2.ReportRequest, give_way: Callable[[], None]) -> Prepared:
        batch = convert.message_of(request)
        if not isinstance(batch, Batch):
            raise TypeError("only batches are prepared")
        return prepare(batch, self._limits, give_way)

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
