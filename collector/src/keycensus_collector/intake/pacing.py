"""How fast one agent may go: its messages are decoded, and its stream begins, when its quota has room.

Who sends more than its share waits; who would wait for too long is told to come back. Bytes are
counted before anything is decoded, since decoding is what costs; rows when their number is known.
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
# A message up to this size is decoded at once, in a fraction of a millisecond; others wait meanwhile for a longer one
# no more than for a turn of the event loop.
_SMALL_BYTES = 16 * 1024

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

    async def decode(self, data: bytes) -> tuple[Decoded | None, int]:
        """Return a message and its size in bytes, when the agent's quota has room for it.

        None for a message without content. Raises DecodeError, Refusal "busy" or "protocol".
        """
        if len(data) > self._limits.message_hard_bytes:
            raise Refusal("protocol", f"a message of {len(data)} bytes is over the limit")
        await self._wait(self._quota.take_message(len(data), _now()))
        if len(data) <= _SMALL_BYTES:
            decoded = self._decoded(data, lambda: None)
        else:
            decoded = await self._intake.compute(
                lambda give_way: self._decoded(data, give_way), asker=self._peer.agent_no
            )
        if not isinstance(decoded, Prepared):
            return decoded, len(data)
        now = _now()
        seconds = self._quota.take_rows(decoded.change_count, now), self._quota.take_batch(now)
        await self._wait(max(seconds))
        return decoded, decoded.row_bytes

    def _decoded(self, data: bytes, give_way: Callable[[], None]) -> Decoded | None:
        request = report_pb2.ReportRequest.FromString(data)
        changes = len(request.batch.changes)
        if changes > _GIANT_BATCH * self._limits.batch_changes:
            raise Refusal("protocol", f"a batch of {changes} changes")
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
