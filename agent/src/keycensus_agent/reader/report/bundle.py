"""A bundle: what `run` would send, in one file, for hosts that can't enrol (protos/README.md, section 10).

Runs in the reader. The messages are those of the report stream, encoded as they are for the link, so
nothing is in them that would not travel otherwise: public halves, and facts of files.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import BinaryIO

from keycensus_agent import __version__
from keycensus_agent.host_facts import HostFacts
from keycensus_agent.model import Blob
from keycensus_agent.reader.convert import encode_host_facts
from keycensus_agent.reader.equipment import now_ms
from keycensus_agent.reader.report.convert import Hello, encode_batch, encode_blob, encode_hello
from keycensus_agent.reader.report.outbox import Pending
from keycensus_agent.reader.report.whole import everything
from keycensus_agent.reader.service import ReaderService

MAGIC = b"KCBUNDLE"
VERSION = 1
_SALT = b"keycensus bundle salt v1\0"


@dataclass(slots=True)
class Written:
    """What went into a bundle."""

    name: str
    bytes: int = 0
    blobs: int = 0
    changes: int = 0
    batches: int = 0


class _Frames:
    """Frames of four bytes of length (big-endian) and that much message; at the end 0, count and hash."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self._count = 0
        self.bytes = 0
        self._put(MAGIC + VERSION.to_bytes(4, "big"))

    def add(self, message: bytes) -> None:
        self._count += 1
        self._put(len(message).to_bytes(4, "big") + message)

    def end(self) -> None:
        self._put(bytes(4) + self._count.to_bytes(4, "big"))
        digest = self._hash.digest()
        self._put(digest)
        self._file.flush()

    def _put(self, data: bytes) -> None:
        self._hash.update(data)
        self._file.write(data)
        self.bytes += len(data)


def salt_for(facts: HostFacts) -> bytes:
    """Return what device and inode are hashed with: the same for each bundle of a host.

    Else every place would look changed in the next bundle.
    """
    return hashlib.sha256(_SALT + facts.machine_hash + facts.name.encode()).digest()[:16]


def write_bundle(service: ReaderService, facts: HostFacts, file: BinaryIO) -> Written:
    """Write all that the service's state holds, after a sweep; OSError if the file can't be written."""
    frames, written = _Frames(file), Written(facts.name)
    hello = Hello(
        agent_version=__version__,
        instance=service.state.instance,
        boot_id=b"",
        nonce=b"",
        complete=service.state.complete,
        acknowledged_sequence=0,
        host_facts=encode_host_facts(facts),
        agent_time_unix_ms=now_ms(),
    )
    frames.add(encode_hello(hello))
    counters = service.counters()
    pending: Pending | None = None
    for message in everything(service):
        if isinstance(message, Blob):
            frames.add(encode_blob(0, message))
            written.blobs += 1
            continue
        written.batches += 1
        written.changes += len(message.changes)
        if pending is not None:
            frames.add(encode_batch(written.batches - 1, pending.changes, {}, complete=False))
        pending = message
    # The last one says how far the sweep came; a host that holds nothing says that, too.
    changes = pending.changes if pending is not None else ()
    written.batches = max(1, written.batches)
    last = encode_batch(written.batches, changes, counters, complete=service.state.complete)
    frames.add(last)
    frames.end()
    written.bytes = frames.bytes
    return written
