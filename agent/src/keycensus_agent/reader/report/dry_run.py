"""What a conversation would send, message by message, for people to read before they enrol."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from keycensus_agent.model import Blob, BlobKind, RowClass
from keycensus_agent.reader.convert import describe_manifest, describe_row, encode_host_facts
from keycensus_agent.reader.report.outbox import Pending
from keycensus_agent.reader.report.whole import everything
from keycensus_agent.reader.service import ReaderService


def lines(service: ReaderService) -> Iterator[dict[str, Any]]:
    """Yield one JSON-able object per message: hello, then per batch its blobs and its changes.

    Blobs are those that a collector without any would ask for; each is named once.
    """
    facts = encode_host_facts(service.host_facts())
    yield {
        "message": "hello",
        "instance": service.state.instance.hex(),
        "complete": service.state.complete,
        "host_facts": describe_row(RowClass.HOST, facts),
    }
    sequence = service.outbox.last_sequence()
    for message in everything(service):
        if isinstance(message, Blob):
            yield _blob(message)
        else:
            sequence += 1
            yield _batch(sequence, message)


def _blob(blob: Blob) -> dict[str, Any]:
    message = {
        "message": "blob",
        "kind": blob.kind.name.lower(),
        "sha256": blob.hash.hex(),
        "size": len(blob.data),
    }
    if blob.kind is BlobKind.MANIFEST:
        message["manifest"] = describe_manifest(blob.data)
    else:
        message["data"] = blob.data.hex()
    return message


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
