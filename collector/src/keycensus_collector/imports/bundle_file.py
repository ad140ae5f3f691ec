"""The container of a bundle (protos/README.md, section 10), read and checked whole. No SQL.

The bytes are anybody's: whoever may import brings what some host wrote, or what somebody made up.
Everything is looked at before anything is taken:

1. begin, version, frames, count and hash of the file;
2. a hello with host facts, then blobs and batches in sequence, and nothing else;
3. each blob's own hash and cap, each row as intake checks it; any that is unfit refuses the file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from google.protobuf.message import DecodeError

from keycensus_collector.errors import UsageError
from keycensus_collector.intake.blobs import CheckedBlob, check_blob
from keycensus_collector.intake.convert import message_of
from keycensus_collector.intake.model import (
    PROTOCOL_VERSION,
    Batch,
    Hello,
    Limits,
    MalformedError,
    ReceivedBlob,
)
from keycensus_collector.intake.rows import HostRow, Prepared, host_row, prepare
from keycensus_proto.v1 import report_pb2

MAGIC = b"KCBUNDLE"
VERSION = 1
# A host with a hundred thousand places gives some 40 MiB.
BUNDLE_BYTES = 128 * 1024 * 1024
_FRAMES_MOST = 2_000_000
_LENGTH_BYTES = 4
_HASH_BYTES = 32


@dataclass(slots=True)
class Bundle:
    """A bundle in which everything is as it should be, by itself; what it claims is not judged."""

    sha256: bytes
    size: int
    hello: Hello
    facts: HostRow
    blobs: list[CheckedBlob] = field(default_factory=list)
    batches: list[Prepared] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """How many places, gaps and usages it tells of."""
        return sum(len(b.places) + len(b.gaps) + len(b.usages) for b in self.batches)


def read_bundle(file: BinaryIO, limits: Limits) -> Bundle:
    """Return a file's content; UsageError says what is wrong with it."""
    reader = _Frames(file)
    frames = reader.frames(limits.message_hard_bytes)
    hello = _decoded(next(frames, b""), 1)
    if not isinstance(hello, Hello):
        raise UsageError("the bundle does not begin with who wrote it")
    if hello.protocol_version != PROTOCOL_VERSION:
        raise UsageError(
            f"the bundle speaks protocol {hello.protocol_version}, this collector {PROTOCOL_VERSION}:"
            " write it anew with an agent that fits"
        )
    try:
        facts = host_row(hello.host_facts)
    except MalformedError:
        raise UsageError("the bundle's facts of its host can't be read") from None
    if not facts.facts.name:
        raise UsageError("the bundle does not say which host it is of")
    bundle = Bundle(b"", 0, hello, facts)
    for number, frame in enumerate(frames, 2):
        _add(bundle, _decoded(frame, number), number, limits)
    if not bundle.batches:
        raise UsageError("the bundle holds no rows, not even that its host has none")
    bundle.sha256, bundle.size = reader.digest, reader.size
    return bundle


def _add(bundle: Bundle, message: object, number: int, limits: Limits) -> None:
    if isinstance(message, ReceivedBlob):
        try:
            bundle.blobs.append(check_blob(message))
        except ValueError as error:  # UnfitBlobError, and a kind that there is not
            reason = "unknown kind" if type(error) is ValueError else str(error)
            raise UsageError(
                f"message {number} of the bundle, a blob, is unfit: {reason}"
            ) from None
        return
    if not isinstance(message, Batch):
        raise UsageError(f"message {number} of the bundle is neither a blob nor a batch of rows")
    prepared = prepare(message, limits)
    if prepared.sequence != len(bundle.batches) + 1:
        raise UsageError(
            f"message {number} of the bundle: batch {prepared.sequence} is out of order"
        )
    if prepared.refused:
        first = prepared.refused[0]
        raise UsageError(
            f"message {number} of the bundle: row {first.position + 1} is unfit, {first.reason}"
            f" ({len(prepared.refused)} in all)"
        )
    gone = [*(change.row for change in prepared.places)]
    gone += [change.row_hash for change in prepared.gaps.values()]
    gone += [change.row_hash for change in prepared.usages.values()]
    if not all(gone):
        raise UsageError(f"message {number} of the bundle tells of what is gone; it may not")
    bundle.batches.append(prepared)
    if bundle.rows > limits.rows_per_host:
        raise UsageError(f"the bundle holds more than {limits.rows_per_host:,} rows")


def _decoded(frame: bytes, number: int) -> object:
    try:
        return message_of(report_pb2.ReportRequest.FromString(frame))
    except DecodeError:
        raise UsageError(f"message {number} of the bundle can't be read") from None


class _Frames:
    """The file's frames; its hash and size are known when all were read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self.digest = b""
        self.size = 0

    def frames(self, most_bytes: int) -> Iterator[bytes]:
        """Yield the messages; UsageError at what is not a whole bundle."""
        begin = self._file.read(len(MAGIC) + _LENGTH_BYTES)
        if not begin.startswith(MAGIC) or len(begin) < len(MAGIC) + _LENGTH_BYTES:
            raise UsageError("this is no bundle: keycensus-agent scan --bundle FILE writes one")
        version = int.from_bytes(begin[len(MAGIC) :], "big")
        if version != VERSION:
            raise UsageError(
                f"the bundle is of version {version}, this collector reads {VERSION}:"
                " upgrade the older of both"
            )
        self._note(begin)
        count = 0
        while length := int.from_bytes(self._take(_LENGTH_BYTES), "big"):
            if length > most_bytes or count == _FRAMES_MOST:
                raise UsageError(f"message {count + 1} of the bundle is too long, or one too many")
            count += 1
            yield self._take(length)
        if int.from_bytes(self._take(_LENGTH_BYTES), "big") != count:
            raise UsageError("the bundle is not whole: it lacks messages that it counts")
        expected = self._hash.digest()
        if self._take(_HASH_BYTES) != expected:
            raise UsageError("the bundle was changed or damaged: its hash is another one")
        if self._file.read(1):
            raise UsageError("something stands behind the end of the bundle")
        self.digest = self._hash.digest()

    def _take(self, size: int) -> bytes:
        data = self._file.read(size)
        if len(data) < size:
            raise UsageError("the bundle ends before its end: copy it again")
        self._note(data)
        return data

    def _note(self, data: bytes) -> None:
        self._hash.update(data)
        self.size += len(data)
