"""Between the parser's findings and the protocol's manifests.

Parser side: the only module here that knows protobuf. A manifest's bytes are its identity, so equal
findings must give equal bytes: serialization is deterministic, and field order is the schema's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from keycensus_agent.model import ARTIFACT_CAPS, Blob, BlobKind, Entry
from keycensus_agent.parser.findings import Found
from keycensus_proto.v1 import manifest_pb2

# Limits of one manifest (protos/README.md, section 8), and a margin for its format.
_ENTRIES_LIMIT = 4096
_BYTES_LIMIT = 512 * 1024 - 1024


def encode_manifest(format_name: str, entries: Sequence[Entry]) -> tuple[bytes, tuple[Blob, ...]]:
    """Return the hash of the manifest that lists `entries`, and it with its parts as blobs.

    No entries give no manifest: (b"", ()).
    """
    if not entries:
        return b"", ()
    pieces = [
        _manifest_blob(manifest_pb2.Manifest(format=format_name, entries=piece))
        for piece in _pieces([_entry(entry) for entry in entries])
    ]
    if len(pieces) == 1:
        return pieces[0].hash, (pieces[0],)
    parts = [piece.hash for piece in pieces]
    root = _manifest_blob(manifest_pb2.Manifest(format=format_name, parts=parts))
    return root.hash, (root, *dict.fromkeys(pieces))


def public_blobs(found: Sequence[Found]) -> tuple[Blob, ...]:
    """Return the public bytes behind the findings that may be sent, each once, in order."""
    blobs = {
        item.entry.artifact: Blob(item.blob_kind, item.entry.artifact, item.public)
        for item in found
        if item.blob_kind is not None and len(item.public) <= ARTIFACT_CAPS[item.blob_kind]
    }
    return tuple(blobs.values())


def _manifest_blob(manifest: manifest_pb2.Manifest) -> Blob:
    data = manifest.SerializeToString(deterministic=True)
    return Blob(BlobKind.MANIFEST, hashlib.sha256(data).digest(), data)


def _pieces(entries: Sequence[manifest_pb2.Entry]) -> Iterator[list[manifest_pb2.Entry]]:
    """Cut into lists that each fit into one manifest."""
    piece: list[manifest_pb2.Entry] = []
    size = 0
    for entry in entries:
        # Tag and length of the entry inside its manifest take at most four bytes here.
        entry_size = entry.ByteSize() + 4
        if piece and (len(piece) == _ENTRIES_LIMIT or size + entry_size > _BYTES_LIMIT):
            yield piece
            piece, size = [], 0
        piece.append(entry)
        size += entry_size
    yield piece


def _entry(entry: Entry) -> manifest_pb2.Entry:
    return manifest_pb2.Entry(
        kind=entry.kind,
        artifact=entry.artifact,
        member=entry.member,
        algorithm=entry.algorithm,
        bits=entry.bits,
        curve=entry.curve,
        encrypted=entry.encrypted,
        size=entry.size,
        reason=entry.reason,
        location=entry.location,
    )
