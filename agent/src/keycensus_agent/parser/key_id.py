"""The identity of a key: SHA-256 of its canonical SubjectPublicKeyInfo (protos/README.md, section 2).

Parser side, and pure. The collector has a copy of its own; tests/contract/key_id_vectors.json holds
the two together. What stands here can never change again: it would split every key in two.

1. RSA, also where the key is marked RSASSA-PSS: rsaEncryption with NULL, the key bits as found.
2. EC on a named curve of `CURVES`: a compressed point is written uncompressed.
3. Everything else, explicit parameters and other curves too: the bytes as found.
"""

from __future__ import annotations

import hashlib

from keycensus_agent.parser.curves import CURVES
from keycensus_agent.parser.der import (
    BIT_STRING,
    NULL,
    OBJECT_IDENTIFIER,
    SEQUENCE,
    DerError,
    bit_string,
    dotted,
    encode,
    encode_bit_string,
    encode_oid,
    encoding,
    expect,
    read_whole,
)

RSA_ENCRYPTION = "1.2.840.113549.1.1.1"
RSASSA_PSS = "1.2.840.113549.1.1.10"
EC_PUBLIC_KEY = "1.2.840.10045.2.1"

_RSA_ALGORITHM = encode(SEQUENCE, encode_oid(RSA_ENCRYPTION), encode(NULL))


def key_id(spki_der: bytes) -> bytes:
    """Return the 32 bytes that identify a public key, given as SubjectPublicKeyInfo in DER."""
    return hashlib.sha256(canonical_spki(spki_der)).digest()


def canonical_spki(spki_der: bytes) -> bytes:
    """Return the canonical form of a SubjectPublicKeyInfo; bytes that are none come back as is."""
    try:
        return _canonical(spki_der)
    except DerError:
        return spki_der


def _canonical(spki: bytes) -> bytes:
    parts = expect(spki, read_whole(spki), SEQUENCE, BIT_STRING)
    if len(parts) != 2:
        return spki
    algorithm, key = parts
    fields = expect(spki, algorithm, OBJECT_IDENTIFIER)
    name = dotted(spki, fields[0])
    if name in {RSA_ENCRYPTION, RSASSA_PSS}:
        return encode(SEQUENCE, _RSA_ALGORITHM, encoding(spki, key))
    if name == EC_PUBLIC_KEY and len(fields) == 2:
        curve = CURVES.get(dotted(spki, fields[1]))
        point = curve.uncompressed(bit_string(spki, key)) if curve else None
        if point:
            return encode(SEQUENCE, encoding(spki, algorithm), encode_bit_string(point))
    return spki
