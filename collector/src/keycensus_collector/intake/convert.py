"""Between protobuf and intake's dataclasses. Protobuf types stop here.

The bytes are an agent's: anything may be in them. What does not decode raises MalformedError; what
decodes is checked by the modules that use it. Runs for every row, so it does nothing twice.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from operator import attrgetter
from typing import Any

from google.protobuf.message import DecodeError

from keycensus_collector.intake.model import (
    Ack,
    Batch,
    BlobKey,
    CannotSupply,
    Change,
    Digest,
    GapFields,
    HandshakeFields,
    Heartbeat,
    Hello,
    HostDescription,
    HostFacts,
    ItemResult,
    Limits,
    Listing,
    MalformedError,
    Manifest,
    ManifestEntry,
    Message,
    Offer,
    Opened,
    PlaceFields,
    ReceivedBlob,
    UsageFields,
)
from keycensus_proto.v1 import enrolment_pb2, inventory_pb2, manifest_pb2, report_pb2

# SQL integers are signed and of 8 bytes; the wire has unsigned ones. Beyond this nothing is real.
_BIGGEST = 2**63 - 1
_BIGGEST_SMALL = 2**31 - 1
# A NamedTuple's own constructor is Python; this is half of its cost.
_change = partial(tuple.__new__, Change)
_place_of = inventory_pb2.Place.FromString
# In the order of PlaceFields. One call for all is cheaper than a look-up for each.
_place_fields: Callable[[inventory_pb2.Place], PlaceFields] = attrgetter(
    "path",
    "manifest",
    "status",
    "reason",
    "format",
    "mode",
    "uid",
    "gid",
    "owner",
    "group",
    "target",
    "file_id",
    "role",
    "use",
    "readable_by",
    "package.name",
    "package.version",
)


def message_of(request: report_pb2.ReportRequest) -> Message | None:
    """Return what a request holds; None for a message that this version does not know."""
    name = request.WhichOneof("message")
    return None if name is None else _MESSAGES[name](getattr(request, name))


def _blob(blob: report_pb2.Blob) -> ReceivedBlob:
    return ReceivedBlob(BlobKey(blob.kind, blob.hash), blob.data)


def _offer(offer: report_pb2.Offer) -> Offer:
    return Offer(offer.offer, tuple(offer.manifests))


def _cannot_supply(message: report_pb2.CannotSupply) -> CannotSupply:
    return CannotSupply(
        tuple(BlobKey(blob.kind, blob.hash) for blob in message.blobs), message.reason
    )


def _heartbeat(heartbeat: report_pb2.Heartbeat) -> Heartbeat:
    return Heartbeat(_counters(heartbeat.counters))


def _digest(digest: report_pb2.Digest) -> Digest:
    return Digest(digest.row_class, digest.count, digest.digest)


def _listing(listing: report_pb2.Listing) -> Listing:
    rows = tuple((row.key, row.row_hash) for row in listing.rows)
    return Listing(listing.row_class, rows, listing.more, listing.complete)


def _hello(hello: report_pb2.Hello) -> Hello:
    return Hello(
        protocol_version=hello.protocol_version,
        agent_version=hello.agent_version,
        instance=hello.instance,
        boot_id=hello.boot_id,
        nonce=hello.nonce,
        complete=hello.complete,
        acknowledged_sequence=min(hello.acknowledged_sequence, _BIGGEST),
        host_facts=hello.host_facts,
        agent_time_ms=max(-_BIGGEST, min(hello.agent_time_unix_ms, _BIGGEST)),
        trust_anchors=tuple(hello.trust_anchors),
    )


def _batch(batch: report_pb2.Batch) -> Batch:
    changes = [
        _change(
            (
                position,
                change.row_class,
                change.key,
                # A change with neither row nor gone keeps an empty row, which no class accepts.
                change.row or (None if change.HasField("gone") else b""),
                change.cause,
                change.observed_at_unix_ms,
                change.skipped & _BIGGEST_SMALL,
            )
        )
        for position, change in enumerate(batch.changes)
    ]
    return Batch(min(batch.sequence, _BIGGEST), changes, _counters(batch.counters), batch.complete)


def _counters(counters: report_pb2.Counters) -> dict[str, int]:
    return {name: min(value, _BIGGEST) for name, value in counters.values.items()}


# By the names of ReportRequest's oneof; a test holds it complete.
_MESSAGES: dict[str, Callable[[Any], Message]] = {
    "hello": _hello,
    "offer": _offer,
    "blob": _blob,
    "cannot_supply": _cannot_supply,
    "batch": _batch,
    "heartbeat": _heartbeat,
    "digest": _digest,
    "listing": _listing,
}


def decode_place(row: bytes) -> tuple[tuple[str, bytes] | None, PlaceFields]:
    """Return the scope, if one is named, and the fields of an encoded Place.

    MalformedError if it is none.
    """
    try:
        place = _place_of(row)
    except DecodeError:
        raise MalformedError("no Place") from None
    scope = (place.scope.kind, place.scope.name) if place.HasField("scope") else None
    return scope, _place_fields(place)


def decode_gap(row: bytes) -> GapFields:
    """Return the fields of an encoded Gap; MalformedError if it is none."""
    try:
        gap = inventory_pb2.Gap.FromString(row)
    except DecodeError:
        raise MalformedError("no Gap") from None
    return GapFields(gap.scope.kind, gap.scope.name, gap.prefix, gap.reason, gap.detail)


def decode_usage(row: bytes) -> UsageFields:
    """Return the fields of an encoded Usage; MalformedError if it is none."""
    try:
        usage = inventory_pb2.Usage.FromString(row)
    except DecodeError:
        raise MalformedError("no Usage") from None
    first = [usage.handshake] if usage.HasField("handshake") else []
    return UsageFields(
        binding=usage.binding,
        service=usage.service,
        unit=usage.unit,
        configuration=usage.configuration,
        line=min(usage.line, _BIGGEST_SMALL),
        directive=usage.directive,
        places=tuple(usage.places),
        server_names=tuple(usage.server_names),
        listen=tuple(usage.listen),
        password_source=usage.password_source,
        processes=tuple(usage.processes),
        manifest=usage.manifest,
        handshakes=tuple(map(_handshake, (*first, *usage.more_handshakes))),
        renewal_tool=usage.renewal.tool,
        renewal_success_ms=usage.renewal.last_success_unix_ms,
        renewal_overdue=usage.renewal.overdue,
        renewal_schedule=usage.renewal.schedule,
        renewal_reason=usage.renewal.overdue_reason,
    )


def _handshake(handshake: inventory_pb2.Handshake) -> HandshakeFields:
    return HandshakeFields(
        handshake.at_unix_ms,
        handshake.address,
        handshake.server_name,
        tuple(handshake.chain),
        handshake.tls_version,
        handshake.cipher,
        handshake.error,
        handshake.verdict,
    )


def decode_host_facts(row: bytes) -> HostFacts:
    """Return what has columns of encoded HostFacts; MalformedError if they are none."""
    try:
        facts = inventory_pb2.HostFacts.FromString(row)
    except DecodeError:
        raise MalformedError("no HostFacts") from None
    system = (facts.operating_system, facts.operating_system_version)
    return HostFacts(
        name=facts.name,
        machine_hash=facts.machine_hash,
        operating_system=system[0],
        operating_system_version=system[1],
        kernel=facts.kernel,
        labels=dict(facts.labels),
        agent_version=facts.agent_version,
    )


def decode_description(row: bytes) -> HostDescription:
    """Return what encoded HostFacts say that has no column; empty for what is none."""
    try:
        facts = inventory_pb2.HostFacts.FromString(row)
    except DecodeError:
        return HostDescription()
    return HostDescription(facts.kind, facts.architecture, tuple(facts.addresses))


def decode_manifest(data: bytes) -> Manifest:
    """Return what an encoded Manifest says; MalformedError if it is none."""
    try:
        manifest = manifest_pb2.Manifest.FromString(data)
    except DecodeError:
        raise MalformedError("no Manifest") from None
    if (len(manifest.entries) > 0) + (len(manifest.parts) > 0) + (len(manifest.tree) > 0) > 1:
        raise MalformedError("entries, parts and tree exclude each other")
    entries = tuple(
        ManifestEntry(
            entry.kind,
            entry.artifact,
            entry.member,
            entry.algorithm,
            min(entry.bits, _BIGGEST_SMALL),
            entry.curve,
            entry.encrypted,
            min(entry.size, _BIGGEST),
            entry.reason,
            entry.location,
        )
        for entry in manifest.entries
    )
    parts = tuple(manifest.parts) or tuple(name.manifest for name in manifest.tree)
    return Manifest(manifest.format, entries, parts, tuple(name.name for name in manifest.tree))


def encode_ack(ack: Ack) -> bytes:
    """Return the bytes of an Ack, as they are stored and repeated."""
    items = [
        report_pb2.ItemResult(index=item.index, result=item.result, reason=item.reason)
        for item in ack.items
    ]
    return report_pb2.Ack(sequence=ack.sequence, items=items).SerializeToString()


def decode_ack(data: bytes) -> Ack:
    """Return a stored Ack."""
    ack = report_pb2.Ack.FromString(data)
    items = tuple(ItemResult(item.index, item.result, item.reason) for item in ack.items)
    return Ack(ack.sequence, items)


def hello_ack(opened: Opened, limits: Limits, now_ms: int) -> report_pb2.ReportResponse:
    """Return the answer to a hello."""
    return report_pb2.ReportResponse(
        hello_ack=report_pb2.HelloAck(
            deployment=opened.deployment,
            database_id=opened.database_id,
            last_sequence=opened.last_sequence,
            session=opened.session,
            nonce=opened.nonce,
            lost_acks=[report_pb2.Ack.FromString(ack) for ack in opened.lost_acks],
            batch_credit=limits.batch_credit,
            max_message_bytes=limits.message_bytes,
            max_batch_bytes=limits.batch_bytes,
            trust=enrolment_pb2.TrustBundle(current=opened.trust_current, next=opened.trust_next),
            collector_time_unix_ms=now_ms,
            heartbeat_seconds=limits.heartbeat_seconds,
            linger_seconds=limits.linger_seconds,
            list_wanted=opened.list_wanted,
        )
    )


def want(offer: int, blobs: list[BlobKey], *, satisfied: bool) -> report_pb2.ReportResponse:
    """Return what the collector lacks of an offer, or that nothing is missing any more."""
    wanted = [
        report_pb2.WantedBlob(kind=report_pb2.BlobKind.ValueType(blob.kind), hash=blob.hash)
        for blob in blobs
    ]
    return report_pb2.ReportResponse(
        want=report_pb2.Want(offer=offer, blobs=wanted, satisfied=satisfied)
    )


def ack_response(data: bytes) -> report_pb2.ReportResponse:
    """Return an encoded Ack as a response."""
    return report_pb2.ReportResponse(ack=report_pb2.Ack.FromString(data))


def refusal(reason: str, text: str, retry_after_seconds: int) -> report_pb2.ReportResponse:
    """Return the last message of a stream."""
    return report_pb2.ReportResponse(
        refusal=report_pb2.Refusal(
            reason=reason, text=text, retry_after_seconds=retry_after_seconds
        )
    )


def list_request(row_class: int, reason: str) -> report_pb2.ReportResponse:
    """Return the wish for a listing of one class."""
    return report_pb2.ReportResponse(
        list_request=report_pb2.ListRequest(
            row_class=inventory_pb2.RowClass.ValueType(row_class), reason=reason
        )
    )


def difference(
    row_class: int, keys: list[bytes], *, removed: int, more: bool
) -> report_pb2.ReportResponse:
    """Return which rows of a listing's piece are wanted again."""
    return report_pb2.ReportResponse(
        difference=report_pb2.Difference(
            row_class=inventory_pb2.RowClass.ValueType(row_class),
            keys=keys,
            removed=removed,
            more=more,
        )
    )


def scan_again(reason: str) -> report_pb2.ReportResponse:
    """Return the one thing that a collector may ask for."""
    return report_pb2.ReportResponse(scan_again=report_pb2.ScanAgain(reason=reason))
