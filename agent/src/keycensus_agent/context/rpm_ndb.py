"""Header blobs of an RPM database in rpm's own "ndb" form (SUSE, and images made by it).

Format: rpm's lib/backend/ndb/rpmpkg.c: a page of header, slots of 16 bytes that say where a package's blob
begins and how long it is, in blocks of 16 bytes; each blob has a header and a tail. Little-endian.
Runs in the reader.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from keycensus_agent.context.root_files import BlobFile, DamagedError

_MAGIC, _SLOT, _BLOB = b"RpmP", b"Slot", b"BlbS"
_VERSION = 0
_PAGE = 4096
_BLOCK = 16
_SLOT_ENTRY = struct.Struct("<4sIII")
# The header of the file takes the place of its first two slots.
_FIRST_SLOT = 2 * _SLOT_ENTRY.size


def blobs(file: BlobFile) -> Iterator[bytes]:
    """Yield every package's header; DamagedError, OSError."""
    magic, version, _, slot_pages = _SLOT_ENTRY.unpack(file.read(0, _SLOT_ENTRY.size))
    if magic != _MAGIC or version != _VERSION:
        raise DamagedError("it is no database of packages, or of a newer kind")
    slots = file.read(0, slot_pages * _PAGE)[_FIRST_SLOT:]
    for mark, number, block, _ in _SLOT_ENTRY.iter_unpack(slots):
        if mark != _SLOT:
            raise DamagedError("a slot is none")
        if not number or not block:
            continue  # a free slot
        start = block * _BLOCK
        head, owner, _, length = _SLOT_ENTRY.unpack(file.read(start, _SLOT_ENTRY.size))
        if head != _BLOB or owner != number:
            raise DamagedError("a slot does not lead to its blob")
        yield file.read(start + _SLOT_ENTRY.size, length)
