"""All that a host without a collector would send, in order: blobs before the batch that needs them.

For people to read (`run --once --dry-run`) and for bundles. The service's state is a copy in memory:
batches that were fixed before are taken apart in it.
"""

from __future__ import annotations

from collections.abc import Iterator

from keycensus_agent.model import Blob, BlobKind
from keycensus_agent.reader.convert import blobs_named
from keycensus_agent.reader.equipment import now_ms
from keycensus_agent.reader.report.outbox import BATCH_BYTES, Pending
from keycensus_agent.reader.service import ReaderService


def everything(service: ReaderService) -> Iterator[Blob | Pending]:
    """Yield each blob once, and each batch's changes behind the blobs that they name."""
    shown: set[bytes] = set()
    service.outbox.unfix_batches()
    if service.state.get_number("outbox_rebuild"):
        service.outbox.rebuild(now_ms())
    after_item = 0
    while (pending := service.outbox.next_pending(after_item, batch_bytes=BATCH_BYTES)) is not None:
        after_item = pending.items[-1]
        for manifest in pending.manifests:
            yield from _blobs(service, manifest, shown)
        yield pending


def _blobs(service: ReaderService, manifest: bytes, shown: set[bytes]) -> Iterator[Blob]:
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
        blob = Blob(BlobKind(found[0]), digest, bytes(found[1]))
        if blob.kind is BlobKind.MANIFEST:
            parts, artifacts = blobs_named(blob.data)
            waiting.extend(reversed([*parts, *artifacts]))
        yield blob
