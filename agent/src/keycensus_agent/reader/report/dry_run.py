"""What a conversation would send, message by message, for people to read before they enrol."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from keycensus_agent.model import BlobKind, RowClass
from keycensus_agent.reader.convert import (
    blobs_named,
    describe_manifest,
    describe_row,
    encode_host_facts,
)
from keycensus_agent.reader.equipment import now_ms
from keycensus_agent.reader.report.outbox import BATCH_BYTES, Pending
from keycensus_agent.reader.service import ReaderService


def lines(service: ReaderService) -> Iterator[dict[str, Any]]:
    """Yield one JSON-able object per message: hello, then per batch its blobs and its changes.

    The service's state is a copy in memory: batches that were fixed before are listed again in it.
    Blobs are those that a collector without any would ask for; each is named once.
    """
    facts = encode_host_facts(service.host_facts())
    yield {
        "message": "hello",
        "instance": service.state.instance.hex(),
        "complete": service.state.complete,
        "host_facts": describe_row(RowClass.HOST, facts),
    }
    shown: set[bytes] = set()
    service.outbox.unfix_batches()
    if service.state.get_number("outbox_rebuild"):
        service.outbox.rebuild(now_ms())
    after_item, sequence = 0, service.outbox.last_sequence()
    while (pending := service.outbox.next_pending(after_item, batch_bytes=BATCH_BYTES)) is not None:
        after_item, sequence = pending.items[-1], sequence + 1
        for manifest in pending.manifests:
            yield from _blobs(service, manifest, shown)
        yield _batch(sequence, pending)


def _blobs(service: ReaderService, manifest: bytes, shown: set[bytes]) -> Iterator[dict[str, Any]]:
    waiting = [manifest]
    while waiting:
        digest = waiting.pop()
        if digest in shown:
            continue
        shown.add(digest)
        found = service.state.connection.execute(
            "SELECT kind, data FROM blob WHERE hash = ?", (digest,)
        ).fetchone()
        if found is None:
            continue
        kind, data = BlobKind(found[0]), bytes(found[1])
        message = {
            "message": "blob",
            "kind": kind.name.lower(),
            "sha256": digest.hex(),
            "size": len(data),
        }
        if kind is BlobKind.MANIFEST:
            message["manifest"] = describe_manifest(data)
            parts, artifacts = blobs_named(data)
            waiting.extend(reversed([*parts, *artifacts]))
        else:
            message["data"] = data.hex()
        yield message


def _batch(sequence: int, pending: Pending) -> dict[str, Any]:
    return {
        "message": "batch",
        "sequence": sequence,
        "changes": [
            {
                "class": change.row_class.name.lower(),
                "key": change.key.hex(),
                "cause": change.cause,
                "row": None if change.row is None else describe_row(change.row_class, change.row),
                "gone": change.gone_reason or None,
                "skipped": change.skipped,
            }
            for change in pending.changes
        ],
    }
