"""What all streams of this process share: the store, the limits, and what they know of blobs.

Several streams often want the same blob (a new CA bundle on every host). `InFlight` lets one ask and
the others wait for a second; then each asks by itself (protos/README.md, section 5).
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from sqlalchemy import Connection

from keycensus_collector.clock import Clock
from keycensus_collector.fairness import FairGate
from keycensus_collector.intake.manifests import ManifestCache
from keycensus_collector.intake.model import BlobKey, Limits
from keycensus_collector.intake.turn import Turn
from keycensus_collector.store.engine import Store

_PATIENCE_SECONDS = 1.0
_STORED_KEYS = 50_000
_SWITCH_SECONDS = 0.0002

_Result = TypeVar("_Result")


class Waiting(Protocol):
    """A stream that waits for a blob."""

    def notice(self, key: BlobKey) -> None:
        """Learn that another stream stored the blob, or will not bring it."""
        ...


@dataclass(slots=True)
class _Asked:
    at: float
    waiting: set[Waiting] = field(default_factory=set)


class InFlight:
    """Blobs that some stream was asked for and that are not stored yet."""

    def __init__(self) -> None:
        self._asked: dict[BlobKey, _Asked] = {}
        # Blobs stored a moment ago: a look-up that began before may still call them missing.
        self._stored: dict[BlobKey, float] = {}

    def claim(self, key: BlobKey, stream: Waiting, now: float) -> float | None:
        """Return None if the stream should ask for the blob, or how many seconds to wait for it."""
        if now - self._stored.get(key, -_PATIENCE_SECONDS) < _PATIENCE_SECONDS:
            return 0.0
        asked = self._asked.get(key)
        if asked is None:
            self._asked[key] = _Asked(now, {stream})
            return None
        asked.waiting.add(stream)
        left = asked.at + _PATIENCE_SECONDS - now
        return left if left > 0 else None

    def stored(self, keys: Iterable[BlobKey], by: Waiting, now: float) -> None:
        """Learn that `by` brought blobs and that they are stored; wake who waits for them."""
        if len(self._stored) > _STORED_KEYS:
            self._stored.clear()
        self._stored.update(dict.fromkeys(keys, now))
        self.forget(keys, by)

    def forget(self, keys: Iterable[BlobKey], by: Waiting) -> None:
        """Forget blobs that `by` brought or will not bring, and wake who waits for them."""
        for key in keys:
            asked = self._asked.pop(key, None)
            for stream in asked.waiting if asked is not None else ():
                if stream is not by:
                    stream.notice(key)


class Intake:
    """The ground that every stream stands on."""

    def __init__(self, store: Store, clock: Clock, limits: Limits) -> None:
        self.store = store
        self.clock = clock
        self.limits = limits
        self.cache = ManifestCache()
        self.in_flight = InFlight()
        self._turn = Turn()
        self._decoding = FairGate()
        # Between two batches the writer and the event loop need the interpreter a dozen times, for
        # microseconds; each time the one who decodes may keep it for this long. Python's default of
        # 5 ms costs about a tenth of a batch's time (measured).
        sys.setswitchinterval(min(_SWITCH_SECONDS, sys.getswitchinterval()))

    async def write(
        self, function: Callable[[Connection], _Result], *, asker: Hashable = None
    ) -> _Result:
        """Run `function` in a transaction of its own; it is on disk when this returns.

        Each asker (an agent, by its number) gets the same share of the time, here and in `compute`.
        Once: a batch is taken apart while it is written. If the database gives up on it, the agent,
        which is told to come back, sends it again.
        """

        def work(connection: Connection) -> _Result:
            with self._turn.writing(work):
                return function(connection)

        def begun(connection: Connection) -> _Result:
            with self._turn.asking(work):
                return work(connection)

        if self.store.is_shared:
            # Until its transaction begins a writer waits for other collectors, too: that is time to decode.
            return await self.store.run_write(begun, asker=asker, once=True)
        with self._turn.asking(work):
            return await self.store.run_write(work, asker=asker, once=True)

    async def compute(
        self, function: Callable[[Callable[[], None]], _Result], *, asker: Hashable
    ) -> _Result:
        """Run something that takes milliseconds of processor outside of the event loop.

        `function` is given what it calls now and then, so that who waits to write goes before.
        """

        def work() -> _Result:
            with self._turn.decoding():
                return function(self._turn.give_way)

        async with self._decoding.turn(asker):
            return await asyncio.to_thread(work)
