"""PKCS#11 URIs: a configuration that names a key in a token instead of a file.

Pure, on hostile bytes. A URI may carry the token's PIN: of its attributes only those that name the key
and its token are kept, never the query. Source: RFC 7512.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from keycensus_agent.parser.findings import Passage, Request, external_key
from keycensus_agent.parser.public_key import KeyFacts

NAME = "pkcs11-uri"
DESCRIPTION = "PKCS#11 URIs in configuration: a key that lives in a token"
SUFFIXES = ("conf", "cnf", "yaml", "json")

_URI = re.compile(rb"(?<![A-Za-z0-9])pkcs11:(?!pkcs11:)([A-Za-z0-9%;=._~:\[\]@!$*+,&/-]{1,2048})")
# What may follow a value without being of it. The query begins at "?", which is not matched at all; a
# PIN that somebody put behind another sign is no part of a name.
_BEHIND = re.compile(rb"[&,]|pin-(?:value|source)=", re.IGNORECASE)
# Path attributes that tell which key of which token (RFC 7512, 2.3). A PIN is none of them.
_NAMING = (
    b"token",
    b"manufacturer",
    b"serial",
    b"model",
    b"slot-id",
    b"slot-manufacturer",
    b"slot-description",
    b"library-manufacturer",
    b"library-description",
    b"library-version",
    b"object",
    b"type",
    b"id",
)
_COMMENT_MARKS = (b"#", b";", b"//", b"*", b"<!--")
# References in one text that are told.
_LIMIT = 1024


def find(text: bytes, request: Request) -> Iterator[Passage]:
    """Yield an external key for each key that a URI names; certificates and data are not keys."""
    del request
    if b"pkcs11:" not in text:
        return
    seen: set[bytes] = set()
    for uri in _URI.finditer(text):
        location = _location(uri[1])
        line_start = text.rfind(b"\n", 0, uri.start()) + 1
        before = text[max(line_start, uri.start() - 256) : uri.start()].lstrip()
        if not location or location in seen or before.startswith(_COMMENT_MARKS):
            continue
        seen.add(location)
        entry = external_key(KeyFacts(), location.decode("ascii"), "pkcs11-uri")
        yield Passage(uri.start(), uri.end(), (entry,))
        if len(seen) >= _LIMIT:
            yield Passage(uri.end(), uri.end(), (), "limit-values")
            return


def _location(path: bytes) -> bytes:
    """Return the URI with the attributes that name the key; nothing if it names none."""
    kept: dict[bytes, bytes] = {}
    for attribute in path.split(b";"):
        name, equals, value = attribute.partition(b"=")
        if equals and name.lower() in _NAMING:
            kept.setdefault(name.lower(), value)
    names_one = (b"object" in kept or b"id" in kept) and kept.get(b"type", b"private") == b"private"
    if not names_one:
        return b""
    return b"pkcs11:" + b";".join(
        name + b"=" + _BEHIND.split(value)[0].rstrip(b".:") for name, value in kept.items()
    )
