"""Bouncy Castle's FIPS keystore (BCFKS): recognised, and reported as locked.

Pure, on hostile bytes. Everything in it is under one password, with ciphers (AES in CCM or key wrap mode)
that other stores do not use. Source: ObjectStore.java and ObjectStoreIntegrityCheck.java
(org.bouncycastle.asn1.bc) of Bouncy Castle.
"""

from __future__ import annotations

from keycensus_agent.model import Status
from keycensus_agent.parser import der
from keycensus_agent.parser.findings import (
    Confidence,
    FormatResult,
    Hint,
    Request,
    sealed_container,
)

NAME = "bcfks"
DESCRIPTION = "Bouncy Castle's FIPS keystore (BCFKS): that it is there"
SUFFIXES = ("bcfks", "bcf", "keystore")

_PBES2 = "1.2.840.113549.1.5.13"
_SIGNATURE = 0xA0


def recognise(data: bytes, hint: Hint) -> Confidence:
    """Tell by encrypted data and an integrity check, and nothing else, in a SEQUENCE."""
    del hint
    try:
        store, check = der.expect(data, der.read(data, 0, len(data)), der.SEQUENCE)[:2]
        algorithm = der.expect(data, store, der.SEQUENCE, der.OCTET_STRING)[0]
        scheme = der.expect(data, algorithm, der.OBJECT_IDENTIFIER, der.SEQUENCE)[0]
        sealed = der.dotted(data, scheme) == _PBES2
        if check.tag != _SIGNATURE:
            der.expect(data, check, der.SEQUENCE, der.SEQUENCE, der.OCTET_STRING)
    except (der.DerError, ValueError):
        return Confidence.NO
    return Confidence.SURE if sealed else Confidence.NO


def parse(data: bytes, request: Request) -> FormatResult:
    """Return the store as one locked container."""
    del request
    store = der.children(data, der.read(data, 0, len(data)))[0]
    ciphertext = der.octets(data, der.children(data, store)[1])
    found = sealed_container(ciphertext, "unsupported-keystore")
    return FormatResult(NAME, (found,), Status.LOCKED, "unsupported-keystore")
