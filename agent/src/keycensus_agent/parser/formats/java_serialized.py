"""Serialized Java objects: the certificates and keys among them, as sessions and caches hold them.

Pure, on hostile bytes. Whatever object they are part of, their encoding stands whole in an array of octets,
so that the arrays are searched for and the objects around them are not followed. Sources: Java Object
Serialization Specification, 6.4; java.security.KeyRep, java.security.cert.Certificate.CertificateRep and
CertPath.CertPathRep of OpenJDK.
"""

from __future__ import annotations

import re

from keycensus_agent.model import EntryKind
from keycensus_agent.parser import der
from keycensus_agent.parser.findings import Confidence, FormatResult, Found, Hint, Request, conclude
from keycensus_agent.parser.formats import der_file
from keycensus_agent.parser.store_magic import JAVA_STREAM

NAME = "java-serialized"
DESCRIPTION = "serialized Java objects: certificates and keys among them"
SUFFIXES = ("ser",)

# The classes that stand for certificates, chains and keys in a stream.
_CLASSES = (
    b"java.security.cert.Certificate$CertificateRep",
    b"java.security.cert.CertPath$CertPathRep",
    b"java.security.KeyRep",
)
# An array whose class `byte[]` is described here or was before; its length; a SEQUENCE of
# a length that is told, as DER has it.
_OCTETS = re.compile(
    rb"u(?:r\x00\x02\[B\xac\xf3\x17\xf8\x06\x08T\xe0\x02\x00\x00xp|q\x00\x7e..)(....)(?=0[^\x80])",
    re.DOTALL,
)
# Everything else that DER may be is not serialized by these classes.
_TAKEN = {EntryKind.CERTIFICATE, EntryKind.PRIVATE_KEY, EntryKind.PUBLIC_KEY}


def recognise(data: bytes, hint: Hint) -> Confidence:
    """Tell by the start of a stream that names one of the classes."""
    del hint
    sure = data.startswith(JAVA_STREAM) and any(name in data for name in _CLASSES)
    return Confidence.SURE if sure else Confidence.NO


def parse(data: bytes, request: Request) -> FormatResult:
    """Return what stands in arrays of octets, in the order of the stream."""
    del request
    found: list[Found] = []
    problems: list[str] = []
    position = 0
    while array := _OCTETS.search(data, position):
        start, size = array.end(), int.from_bytes(array[1], "big")
        position = array.start() + 1
        if start + size > len(data):
            problems.append("truncated")
        elif _is_whole(data, start, start + size):
            position = start + size
            inside = der_file.parse(data[start:position], Request()).found
            found.extend(item for item in inside if item.entry.kind in _TAKEN)
    return conclude(NAME, found, problems)


def _is_whole(data: bytes, start: int, end: int) -> bool:
    try:
        return der.read(data, start, end).end == end
    except der.DerError:
        return False
