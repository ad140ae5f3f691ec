"""A collector that keeps its rows in a dict: what the reader's conversations are tested against.

Speaks the protocol as protos/README.md has it, over a connection of frames without a link process.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from keycensus_agent.errors import LinkError
from keycensus_agent.relay import FrameKind
from keycensus_proto.v1 import manifest_pb2, report_pb2


@dataclass
class CollectorInMemory:
    """What one collector has of one agent."""

    database_id: bytes = b"D" * 16
    rows: dict[tuple[int, bytes], bytes] = field(default_factory=dict)
    blobs: dict[bytes, bytes] = field(default_factory=dict)
    last_sequence: int = 0
    instance: bytes = b""
    complete: bool = False
    acks: dict[int, report_pb2.Ack] = field(default_factory=dict)
    duplicates: int = 0
    batches: list[report_pb2.Batch] = field(default_factory=list)
    # What to answer for a change, by its key: ("retry"|"refused", reason), once each.
    verdicts: dict[bytes, list[tuple[str, str]]] = field(default_factory=dict)
    list_wanted: bool = False
    listings: list[report_pb2.Listing] = field(default_factory=list)
    wanted_after_listing: list[bytes] = field(default_factory=list)
    digests: list[report_pb2.Digest] = field(default_factory=list)
    # Classes whose digest is said to differ, once each.
    differing: list[int] = field(default_factory=list)
    # Answer every listing with the wish for another one.
    asks_again: bool = False
    refusal: report_pb2.Refusal | None = None

    def connect(self, *, drop_after_commit: int = 0, drop_before_commit: int = 0) -> Connection:
        """Open a stream that breaks at the given commit, counted from 1 (see Connection)."""
        return Connection(self, drop_after_commit, drop_before_commit)


@dataclass
class Connection:
    """One stream. `drop_after_commit` loses the answer of the n-th batch and breaks."""

    collector: CollectorInMemory
    drop_after_commit: int = 0
    drop_before_commit: int = 0
    broken: bool = False
    # What the link answers to a question of the reader's; None: nothing, ever.
    answer: Callable[[bytes], bytes] | None = None
    sent: list[str] = field(default_factory=list)
    payloads: list[bytes] = field(default_factory=list)
    _frames: deque[tuple[FrameKind, bytes]] = field(
        default_factory=lambda: deque([(FrameKind.OPEN, b"{}")])
    )
    _waiting: dict[int, set[bytes]] = field(default_factory=dict)
    _commits: int = 0

    def send(self, kind: FrameKind, payload: bytes = b"") -> None:
        if self.broken:
            raise LinkError("the link has ended")
        if kind is FrameKind.ASK:
            if self.answer is not None:
                self._frames.append((FrameKind.ANSWER, self.answer(payload)))
            return
        if kind is FrameKind.END:
            self._frames.append((FrameKind.CLOSED, b'{"reason": "done", "text": ""}'))
            return
        request = report_pb2.ReportRequest.FromString(payload)
        name = request.WhichOneof("message") or ""
        self.sent.append(name)
        self.payloads.append(payload)
        handlers: dict[str, Callable[[report_pb2.ReportRequest], None]] = {
            "hello": self._hello,
            "offer": self._offer,
            "blob": self._blob,
            "batch": self._batch,
            "listing": self._listing,
            "digest": self._digest,
            "cannot_supply": self._cannot_supply,
        }
        if name in handlers:
            handlers[name](request)

    def receive(self, timeout: float) -> tuple[FrameKind, bytes] | None:
        if self._frames:
            return self._frames.popleft()
        if self.broken:
            return FrameKind.CLOSED, b'{"reason": "unreachable", "text": "the stream broke"}'
        assert timeout == 0.0, "the reader waits for an answer that will not come"
        return None

    def _answer(self, **message: object) -> None:
        response = report_pb2.ReportResponse(**message)  # type: ignore[arg-type]
        self._frames.append((FrameKind.MESSAGE, response.SerializeToString()))

    def _hello(self, request: report_pb2.ReportRequest) -> None:
        collector = self.collector
        if collector.refusal is not None:
            self._answer(refusal=collector.refusal)
            return
        if collector.instance != request.hello.instance:
            collector.instance = request.hello.instance
            collector.last_sequence = 0
            collector.acks.clear()
        lost = [
            ack
            for number, ack in sorted(collector.acks.items())
            if number > request.hello.acknowledged_sequence
        ]
        self._answer(
            hello_ack=report_pb2.HelloAck(
                deployment="test",
                database_id=collector.database_id,
                last_sequence=collector.last_sequence,
                nonce=b"N" * 16,
                lost_acks=lost,
                batch_credit=3,
                list_wanted=collector.list_wanted,
            )
        )

    def _offer(self, request: report_pb2.ReportRequest) -> None:
        missing = {m for m in request.offer.manifests if m not in self.collector.blobs}
        self._want(request.offer.offer, missing, report_pb2.BLOB_KIND_MANIFEST)

    def _want(self, offer: int, missing: set[bytes], kind: report_pb2.BlobKind.ValueType) -> None:
        self._waiting.setdefault(offer, set()).update(missing)
        blobs = [report_pb2.WantedBlob(kind=kind, hash=digest) for digest in sorted(missing)]
        satisfied = not self._waiting[offer]
        self._answer(want=report_pb2.Want(offer=offer, blobs=blobs, satisfied=satisfied))

    def _blob(self, request: report_pb2.ReportRequest) -> None:
        blob = request.blob
        assert hashlib.sha256(blob.data).digest() == blob.hash
        self.collector.blobs[blob.hash] = blob.data
        self._waiting[blob.offer].discard(blob.hash)
        if blob.kind == report_pb2.BLOB_KIND_MANIFEST:
            manifest = manifest_pb2.Manifest.FromString(blob.data)
            for entry in manifest.entries:
                if entry.artifact and entry.artifact not in self.collector.blobs:
                    self._want(blob.offer, {entry.artifact}, report_pb2.BLOB_KIND_CERTIFICATE)
        if not self._waiting[blob.offer]:
            self._answer(want=report_pb2.Want(offer=blob.offer, satisfied=True))

    def _cannot_supply(self, request: report_pb2.ReportRequest) -> None:
        waiting = self._waiting[request.cannot_supply.offer]
        waiting.difference_update(blob.hash for blob in request.cannot_supply.blobs)
        if not waiting:
            self._answer(want=report_pb2.Want(offer=request.cannot_supply.offer, satisfied=True))

    def _batch(self, request: report_pb2.ReportRequest) -> None:
        collector, batch = self.collector, request.batch
        if batch.sequence <= collector.last_sequence:
            collector.duplicates += 1
            self._answer(ack=collector.acks.get(batch.sequence, report_pb2.Ack()))
            return
        assert batch.sequence == collector.last_sequence + 1
        self._commits += 1
        if self._commits == self.drop_before_commit:
            self.broken = True
            return
        ack = self._commit(batch)
        if self._commits == self.drop_after_commit:
            self.broken = True
            return
        self._answer(ack=ack)

    def _commit(self, batch: report_pb2.Batch) -> report_pb2.Ack:
        collector = self.collector
        ack = report_pb2.Ack(sequence=batch.sequence)
        for index, change in enumerate(batch.changes):
            verdicts = collector.verdicts.get(change.key, [])
            if verdicts:
                result, reason = verdicts.pop(0)
                ack.items.add(index=index, result=result, reason=reason)
            elif change.WhichOneof("state") == "gone":
                collector.rows.pop((change.row_class, change.key), None)
            else:
                collector.rows[change.row_class, change.key] = change.row
        collector.batches.append(batch)
        collector.last_sequence = batch.sequence
        collector.acks[batch.sequence] = ack
        collector.complete = collector.complete or batch.complete
        return ack

    def _digest(self, request: report_pb2.ReportRequest) -> None:
        digest = request.digest
        self.collector.digests.append(digest)
        if digest.row_class in self.collector.differing:
            self.collector.differing.remove(digest.row_class)
            self._answer(
                list_request=report_pb2.ListRequest(row_class=digest.row_class, reason="digest")
            )

    def _listing(self, request: report_pb2.ReportRequest) -> None:
        self.collector.listings.append(request.listing)
        if request.listing.more:
            return
        if self.collector.asks_again:
            self._answer(list_request=report_pb2.ListRequest(row_class=request.listing.row_class))
        row_class = request.listing.row_class
        wanted = [
            key
            for key in self.collector.wanted_after_listing
            if (key == bytes(32)) == (row_class == 4) and row_class != 3
        ]
        self._answer(
            difference=report_pb2.Difference(row_class=request.listing.row_class, keys=wanted)
        )
