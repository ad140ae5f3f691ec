"""Between the reader's dataclasses and the messages of the report stream. Protobuf stops here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from keycensus_agent.model import Blob, BlobKind, RowClass
from keycensus_proto.v1 import inventory_pb2, report_pb2

PROTOCOL_VERSION = 1
CAPABILITIES = ("reconcile", "tree")

_ROW_CLASSES = {
    RowClass.PLACE: inventory_pb2.ROW_CLASS_PLACE,
    RowClass.USAGE: inventory_pb2.ROW_CLASS_USAGE,
    RowClass.GAP: inventory_pb2.ROW_CLASS_GAP,
    RowClass.HOST: inventory_pb2.ROW_CLASS_HOST,
}
_BLOB_KINDS = {
    BlobKind.MANIFEST: report_pb2.BLOB_KIND_MANIFEST,
    BlobKind.CERTIFICATE: report_pb2.BLOB_KIND_CERTIFICATE,
    BlobKind.SPKI: report_pb2.BLOB_KIND_SPKI,
    BlobKind.CSR: report_pb2.BLOB_KIND_CSR,
    BlobKind.CRL: report_pb2.BLOB_KIND_CRL,
}


class ProtocolError(ValueError):
    """The collector said something that is not the protocol."""


# --- to the collector -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Hello:
    """What opens a stream (protos: Hello)."""

    agent_version: str
    instance: bytes
    boot_id: bytes
    nonce: bytes
    complete: bool
    acknowledged_sequence: int
    host_facts: bytes
    agent_time_unix_ms: int


@dataclass(frozen=True, slots=True)
class Change:
    """One state of one row; `row` is None when it is gone (protos: Change)."""

    row_class: RowClass
    key: bytes
    row: bytes | None
    cause: str
    observed_ms: int
    skipped: int = 0
    gone_reason: str = ""


def encode_hello(hello: Hello) -> bytes:
    """Return the encoded request."""
    return report_pb2.ReportRequest(
        hello=report_pb2.Hello(
            protocol_version=PROTOCOL_VERSION,
            agent_version=hello.agent_version,
            capabilities=CAPABILITIES,
            instance=hello.instance,
            boot_id=hello.boot_id,
            nonce=hello.nonce,
            complete=hello.complete,
            acknowledged_sequence=hello.acknowledged_sequence,
            host_facts=hello.host_facts,
            agent_time_unix_ms=hello.agent_time_unix_ms,
        )
    ).SerializeToString()


def encode_offer(number: int, manifests: Iterable[bytes]) -> bytes:
    """Return the encoded request."""
    offer = report_pb2.Offer(offer=number, manifests=list(manifests))
    return report_pb2.ReportRequest(offer=offer).SerializeToString()


def encode_blob(offer: int, blob: Blob) -> bytes:
    """Return the encoded request."""
    message = report_pb2.Blob(
        offer=offer, kind=_BLOB_KINDS[blob.kind], hash=blob.hash, data=blob.data
    )
    return report_pb2.ReportRequest(blob=message).SerializeToString()


def encode_cannot_supply(offer: int, wanted: Sequence[Wanted], reason: str) -> bytes:
    """Return the encoded request."""
    message = report_pb2.CannotSupply(offer=offer, reason=reason)
    for item in wanted:
        message.blobs.add(kind=_BLOB_KINDS.get(item.kind) if item.kind else None, hash=item.hash)
    return report_pb2.ReportRequest(cannot_supply=message).SerializeToString()


def encode_batch(
    sequence: int, changes: Iterable[Change], counters: Mapping[str, int], *, complete: bool
) -> bytes:
    """Return the encoded request, which is kept and sent as it is, however often."""
    batch = report_pb2.Batch(
        sequence=sequence,
        counters=report_pb2.Counters(values=dict(counters)),
        complete=complete,
    )
    for change in changes:
        item = batch.changes.add(
            row_class=_ROW_CLASSES[change.row_class],
            key=change.key,
            cause=change.cause,
            observed_at_unix_ms=change.observed_ms,
            skipped=change.skipped,
        )
        if change.row is None:
            item.gone.reason = change.gone_reason
        else:
            item.row = change.row
    return report_pb2.ReportRequest(batch=batch).SerializeToString(deterministic=True)


def encode_heartbeat(agent_time_unix_ms: int, counters: Mapping[str, int]) -> bytes:
    """Return the encoded request."""
    heartbeat = report_pb2.Heartbeat(
        agent_time_unix_ms=agent_time_unix_ms, counters=report_pb2.Counters(values=dict(counters))
    )
    return report_pb2.ReportRequest(heartbeat=heartbeat).SerializeToString()


def encode_listing(
    row_class: RowClass, rows: Iterable[tuple[bytes, bytes]], *, more: bool, complete: bool
) -> bytes:
    """Return the encoded request; `rows` holds (key, row hash), sorted by key."""
    listing = report_pb2.Listing(row_class=_ROW_CLASSES[row_class], more=more, complete=complete)
    for key, row_hash in rows:
        listing.rows.add(key=key, row_hash=row_hash)
    return report_pb2.ReportRequest(listing=listing).SerializeToString()


def encode_digest(row_class: RowClass, count: int, digest: bytes) -> bytes:
    """Return the encoded request; `digest` is over the sorted rows (protos/README.md, section 7)."""
    message = report_pb2.Digest(row_class=_ROW_CLASSES[row_class], count=count, digest=digest)
    return report_pb2.ReportRequest(digest=message).SerializeToString()


# --- from the collector -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wanted:
    """One blob that the collector lacks; `kind` is None for a kind this agent does not know."""

    kind: BlobKind | None
    hash: bytes


@dataclass(frozen=True, slots=True)
class ItemResult:
    """What became of one change that was not committed."""

    index: int
    result: str
    reason: str


@dataclass(frozen=True, slots=True)
class Ack:
    """The answer to one batch."""

    sequence: int
    items: tuple[ItemResult, ...]


@dataclass(frozen=True, slots=True)
class HelloAck:
    """The answer to a hello (protos: HelloAck)."""

    deployment: str
    database_id: bytes
    last_sequence: int
    nonce: bytes
    lost_acks: tuple[Ack, ...]
    batch_credit: int
    max_batch_bytes: int
    collector_time_unix_ms: int
    heartbeat_seconds: int
    linger_seconds: int
    list_wanted: bool


@dataclass(frozen=True, slots=True)
class Want:
    """What is missing of an offer."""

    offer: int
    blobs: tuple[Wanted, ...]
    satisfied: bool


@dataclass(frozen=True, slots=True)
class Refusal:
    """The collector ends the stream, and why."""

    reason: str
    text: str
    retry_after_seconds: int


@dataclass(frozen=True, slots=True)
class ListRequest:
    """The collector wants the list of one class."""

    row_class: RowClass


@dataclass(frozen=True, slots=True)
class Difference:
    """Rows that the collector wants again after a listing."""

    row_class: RowClass
    keys: tuple[bytes, ...]
    removed: int
    more: bool


@dataclass(frozen=True, slots=True)
class ScanAgain:
    """The collector asks for a sweep soon."""


Response = HelloAck | Want | Ack | Refusal | ListRequest | Difference | ScanAgain | None


def decode_response(data: bytes) -> Response:
    """Return the message, or None for one that a newer collector may send; ProtocolError."""
    try:
        message = report_pb2.ReportResponse.FromString(data)
    except DecodeError as error:
        raise ProtocolError("the collector sent a message that does not parse") from error
    kind = message.WhichOneof("message")
    if kind == "hello_ack":
        return _hello_ack(message.hello_ack)
    if kind == "want":
        blobs = tuple(Wanted(_known_kind(blob.kind), blob.hash) for blob in message.want.blobs)
        return Want(message.want.offer, blobs, message.want.satisfied)
    if kind == "ack":
        return _ack(message.ack)
    if kind == "refusal":
        refusal = message.refusal
        return Refusal(refusal.reason, refusal.text, refusal.retry_after_seconds)
    if kind == "scan_again":
        return ScanAgain()
    return _reconciliation(message)


def _reconciliation(message: report_pb2.ReportResponse) -> Response:
    kind = message.WhichOneof("message")
    try:
        if kind == "list_request":
            return ListRequest(RowClass(message.list_request.row_class))
        if kind == "difference":
            difference = message.difference
            return Difference(
                RowClass(difference.row_class),
                tuple(difference.keys),
                difference.removed,
                difference.more,
            )
        if kind == "resend_class":
            return ListRequest(RowClass(message.resend_class.row_class))
    except ValueError as error:
        raise ProtocolError("the collector names a class of rows that does not exist") from error
    return None


def _known_kind(number: int) -> BlobKind | None:
    try:
        return BlobKind(number)
    except ValueError:
        return None


def _ack(message: report_pb2.Ack) -> Ack:
    items = tuple(ItemResult(item.index, item.result, item.reason) for item in message.items)
    return Ack(message.sequence, items)


def _hello_ack(message: report_pb2.HelloAck) -> HelloAck:
    return HelloAck(
        deployment=message.deployment,
        database_id=message.database_id,
        last_sequence=message.last_sequence,
        nonce=message.nonce,
        lost_acks=tuple(_ack(ack) for ack in message.lost_acks),
        batch_credit=message.batch_credit,
        max_batch_bytes=message.max_batch_bytes,
        collector_time_unix_ms=message.collector_time_unix_ms,
        heartbeat_seconds=message.heartbeat_seconds,
        linger_seconds=message.linger_seconds,
        list_wanted=message.list_wanted,
    )
