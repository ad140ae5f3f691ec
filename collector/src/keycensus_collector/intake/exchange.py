"""One stream's exchange of blobs: what was offered, what is wanted, what has come.

An offer is settled in rounds: look up what is missing, ask for it, wait until it is stored, look
again; manifests come first and name the rest. What is stored is the only truth, so a round repeats
nothing and forgets nothing. Blobs that come are gathered and written in groups; a round begins only
when its group is on disk.

A blob that another stream is bringing is waited for (`shared.InFlight`). Lives in the event loop.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

from keycensus_collector.errors import Refusal
from keycensus_collector.failpoints import reach
from keycensus_collector.intake.blobs import (
    CheckedBlob,
    UnfitBlobError,
    check_blob,
    store_blobs,
)
from keycensus_collector.intake.manifests import Missing, find_missing
from keycensus_collector.intake.model import (
    HASH_BYTES,
    WANTED_BLOBS,
    BlobKey,
    BlobKind,
    CannotSupply,
    Offer,
    ReceivedBlob,
)
from keycensus_collector.intake.quota import Quota
from keycensus_collector.intake.shared import Intake

# Offers that are worked on at the same time; further ones wait for their turn.
_ACTIVE_OFFERS = 4
# A group is written when it has this many blobs or bytes, or when nothing more is coming.
_GROUP_BLOBS = 500
_GROUP_BYTES = 4 * 1024 * 1024
# Blobs of one stream that could not be supplied, or were unfit; beyond it, it is not worth serving.
_UNFIT_BLOBS = 65_536
_OVER_CAP = "over-cap"
_QUOTA = "quota"


@dataclass(slots=True, eq=False)
class _OpenOffer:
    number: int
    roots: set[bytes]
    outstanding: set[BlobKey] = field(default_factory=set)
    # Rows that one look-up may give; more when all that it gave was unfit.
    room: int = WANTED_BLOBS


@dataclass(frozen=True, slots=True)
class Wanting:
    """What to say about an offer: blobs that are missing, or that nothing is."""

    offer: int
    blobs: list[BlobKey]
    satisfied: bool


class Exchange:
    """The blobs of one stream of agent `asker`.

    `wake` is called when `work` has something to do by itself.
    """

    def __init__(
        self, intake: Intake, quota: Quota, wake: Callable[[], None], asker: Hashable = None
    ) -> None:
        self._intake = intake
        self._asker = asker
        self._quota = quota
        self._limits = intake.limits
        self._wake = wake
        self._offers: list[_OpenOffer] = []
        self._asked: set[BlobKey] = set()
        self._waiting: dict[BlobKey, float] = {}  # until when, for what another stream brings
        self._unfit_blobs: dict[BlobKey, str] = {}
        self._group: dict[BlobKey, CheckedBlob] = {}
        self._group_bytes = 0
        # Why manifests of this stream can't be complete, for the items that name them; empty if
        # all that they lack is over its cap, which does not cost the place.
        self.unfit: dict[bytes, str] = {}
        self.dropped = 0

    # --- what the agent says -------------------------------------------------------------------

    def offer(self, offer: Offer) -> None:
        """Take an offer; Refusal "protocol" if it is over the limits."""
        if len(offer.manifests) > self._limits.offer_hashes:
            raise Refusal("protocol", f"an offer names more than {self._limits.offer_hashes}")
        if len(self._offers) >= self._limits.open_offers:
            raise Refusal("protocol", f"more than {self._limits.open_offers} offers are open")
        if any(len(hash_) != HASH_BYTES for hash_ in offer.manifests):
            raise Refusal("protocol", "an offer names something that is no hash")
        self._offers.append(_OpenOffer(offer.number, set(offer.manifests)))

    def receive(self, received: ReceivedBlob, now: float) -> int:
        """Take a blob and return how many rows it will be; one that was not wanted is dropped."""
        key = received.key
        if key not in self._asked:
            self.dropped += 1
            return 0
        self._asked.discard(key)
        if not self._quota.has_room_for_blobs(now):
            self.dropped += 1
            self._give_up(key, _QUOTA)
            return 0
        self._quota.take_blob(len(received.data), now)
        try:
            checked = check_blob(received)
        except UnfitBlobError as error:
            self.dropped += 1
            self._count_unfit(now)
            self._give_up(key, str(error))
            return 0
        self._group[key] = checked
        self._group_bytes += len(checked.data)
        return checked.row_count

    def cannot_supply(self, message: CannotSupply, now: float) -> None:
        """Note what the agent does not have; items that need it will be refused."""
        for key in message.blobs:
            if key in self._asked:
                self._asked.discard(key)
                self._count_unfit(now)
                is_long = message.reason == _OVER_CAP and key.kind != BlobKind.MANIFEST.value
                self._give_up(key, _OVER_CAP if is_long else "missing-blob")

    def notice(self, key: BlobKey) -> None:
        """Learn that another stream stored a blob, or will not bring it."""
        self._waiting.pop(key, None)
        for offer in self._offers:
            if key not in self._asked:
                offer.outstanding.discard(key)
        self._wake()

    def _count_unfit(self, now: float) -> None:
        seconds = self._quota.take_unfit(now)
        if seconds > 0:
            text = "too many blobs that this agent offered did not come, or not as they should"
            raise Refusal("busy", text, retry_after_seconds=math.ceil(seconds))

    def _give_up(self, key: BlobKey, reason: str) -> None:
        if len(self._unfit_blobs) >= _UNFIT_BLOBS:
            raise Refusal("protocol", "too many blobs were unfit or could not be supplied")
        self._unfit_blobs[key] = reason
        for offer in self._offers:
            offer.outstanding.discard(key)
        self._intake.in_flight.forget([key], self)

    # --- what is to be done -------------------------------------------------------------------

    @property
    def has_group(self) -> bool:
        """Whether blobs have come that are not written yet."""
        return bool(self._group)

    @property
    def is_full(self) -> bool:
        """Whether the blobs that have come should be written now."""
        return len(self._group) >= _GROUP_BLOBS or self._group_bytes >= _GROUP_BYTES

    def seconds_to_wait(self, now: float) -> float | None:
        """Return after how long `work` has something to do by itself; None: not at all."""
        if not self._waiting:
            return None
        return max(0.0, min(self._waiting.values()) - now)

    async def work(self, now: float, *, more_coming: bool) -> list[Wanting]:
        """Write the group if it is due, and take every offer a step further.

        `now` is the event loop's time in seconds; `more_coming` says that a message waits already.
        """
        if self._group and (self.is_full or not more_coming or not self._asked):
            await self.flush()
        for key in [key for key, until in self._waiting.items() if until <= now]:
            self.notice(key)
        wantings: list[Wanting] = []
        for offer in self._offers[:_ACTIVE_OFFERS]:
            if offer.outstanding:
                continue
            wanting = await self._step(offer, now)
            if wanting.satisfied:
                self._offers.remove(offer)
            if wanting.satisfied or wanting.blobs:
                wantings.append(wanting)
        if any(not offer.outstanding for offer in self._offers[:_ACTIVE_OFFERS]):
            self._wake()  # its turn has come, or its look-up was cut short by what is unfit
        return wantings

    async def flush(self) -> None:
        """Write the blobs that were gathered."""
        group, self._group, self._group_bytes = self._group, {}, 0
        if not group:
            return
        now_ms = self._intake.clock.now_ms()
        await self._intake.write(
            lambda connection: store_blobs(connection, list(group.values()), now_ms),
            asker=self._asker,
        )
        reach("after_blob")
        for hash_, checked in ((key.hash, checked) for key, checked in group.items()):
            if checked.manifest is not None and not checked.manifest.parts:
                self._intake.cache.remember(hash_, checked.artifacts)
        for offer in self._offers:
            offer.outstanding -= group.keys()
        self._intake.in_flight.stored(group, self, asyncio.get_running_loop().time())

    def close(self) -> None:
        """Let other streams ask for what this one was asked for."""
        self._intake.in_flight.forget(self._asked | self._group.keys(), self)

    async def _step(self, offer: _OpenOffer, now: float) -> Wanting:
        """Look up what an offer still lacks, and say what of it to ask for now."""
        limit = offer.room + len(self._unfit_blobs)
        generation = self._intake.cache.generation
        roots = self._intake.cache.not_known_complete(offer.roots)
        missing = await self._intake.store.run_read(
            lambda connection: find_missing(connection, roots, limit)
        )
        self._settle_roots(offer, roots, missing, generation)
        open_keys = [
            key
            for key, needed_by in missing.blobs.items()
            if key not in self._unfit_blobs and not needed_by.isdisjoint(offer.roots)
        ][:WANTED_BLOBS]
        if open_keys and not self._quota.has_room_for_blobs(now):
            # The rest of the batch is not held up: items that need these are refused, and the
            # agent tries again another day.
            self.unfit.update(dict.fromkeys(offer.roots, _QUOTA))
            return Wanting(offer.number, [], satisfied=True)
        if not open_keys:
            # Nothing to wait for; if the look-up was cut short there is more behind what was unfit.
            if missing.truncated:
                offer.room *= 4
            return Wanting(offer.number, [], satisfied=not (missing.truncated and offer.roots))
        offer.outstanding = set(open_keys)
        reach("after_offer_before_want")
        return Wanting(offer.number, self._claim(open_keys, now), satisfied=False)

    def _settle_roots(
        self, offer: _OpenOffer, roots: set[bytes], missing: Missing, generation: int
    ) -> None:
        """Take out of the offer what is complete, and what never will be, with the reason."""
        failed = dict.fromkeys(missing.too_deep, "malformed")
        waiting: set[bytes] = set()
        excused: set[bytes] = set()
        for key, needed_by in missing.blobs.items():
            reason = self._unfit_blobs.get(key)
            if reason is None:
                waiting |= needed_by
            elif reason != _OVER_CAP or key.kind == BlobKind.MANIFEST.value:
                failed.update(dict.fromkeys(needed_by, reason))
            else:
                excused |= needed_by
        if len(self.unfit) > _UNFIT_BLOBS:
            self.unfit.clear()  # their items are then tried again, in a later batch
        self.unfit.update(dict.fromkeys(excused, ""))
        self.unfit.update(failed)
        if not missing.truncated:
            lacking = {root for needed_by in missing.blobs.values() for root in needed_by}
            self._intake.cache.follow(missing.removals)
            self._intake.cache.mark_complete(roots - lacking - failed.keys(), generation)
            offer.roots = waiting - failed.keys()
        else:
            offer.roots -= failed.keys()

    def _claim(self, keys: Sequence[BlobKey], now: float) -> list[BlobKey]:
        """Return those of `keys` to ask this agent for; another stream is bringing the others."""
        asking: list[BlobKey] = []
        for key in keys:
            if key in self._asked or key in self._group:
                continue
            seconds = self._intake.in_flight.claim(key, self, now)
            if seconds is None:
                asking.append(key)
            else:
                self._waiting[key] = now + seconds
        self._asked.update(asking)
        return asking
