"""What of a listed directory is remembered, as bytes, and their digest.

Pure. Equal digests, on the same mount: nothing changed in the directory.
"""

from __future__ import annotations

import hashlib
import marshal

from keycensus_agent.reader.discovery.directory import Directory, FileMark

# Marshal without references: equal values give equal bytes, and it is several times faster than
# packing or JSON. It is only ever read back from the agent's own state.
_MARSHAL_VERSION = 2
_DIGEST_BYTES = 16

Listing = tuple[list[FileMark], list[str], list[str]]


def listing_of(directory: Directory) -> Listing:
    """Return (files as (name, inode, ctime_ns, size), links, sub-directories)."""
    children = directory.children
    if directory.pruned:
        children = sorted([*children, *(name for name, _ in directory.pruned)])
    return directory.files, directory.links, children


def encode_listing(listing: Listing) -> bytes:
    """Return the bytes that are digested and stored."""
    return marshal.dumps(listing, _MARSHAL_VERSION)


def decode_listing(encoded: bytes) -> Listing:
    """Return what `encode_listing` was given; only ever for bytes of the agent's own state."""
    files, links, children = marshal.loads(encoded)  # noqa: S302 - our own
    return files, links, children


def digest_of(encoded: bytes) -> bytes:
    """Return what an encoded listing is compared by, 16 bytes: nobody can make two of one digest."""
    return hashlib.blake2b(encoded, digest_size=_DIGEST_BYTES).digest()
