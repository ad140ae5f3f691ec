"""Java KeyStore (JKS): certificates and aliases are in the clear, private keys under a password.

Pure, on hostile bytes; see `java_store` and `java_key_protector`. Source: JavaKeyStore.java of OpenJDK.
"""

from __future__ import annotations

from keycensus_agent.parser import der
from keycensus_agent.parser.findings import (
    Confidence,
    FormatResult,
    Found,
    Hint,
    Request,
    sealed_key,
)
from keycensus_agent.parser.java_key_protector import KEY_PROTECTOR, read_protected_key
from keycensus_agent.parser.java_store import read_java_store

NAME = "jks"
DESCRIPTION = "Java KeyStore: certificates and aliases without its password, keys with it"
SUFFIXES = ("jks", "keystore", "truststore", "ks")

_MAGIC = b"\xfe\xed\xfe\xed"


def recognise(data: bytes, hint: Hint) -> Confidence:
    """Tell by the magic number."""
    del hint
    return Confidence.SURE if data[:4] == _MAGIC else Confidence.NO


def parse(data: bytes, request: Request) -> FormatResult:
    """Return trusted certificates, chains, and each private key as opened or sealed."""

    def open_key(protected: bytes, alias: bytes) -> Found:
        return _opened_or_sealed(protected, alias, request.passwords)

    return read_java_store(NAME, data, request.passwords, open_key)


def _opened_or_sealed(protected: bytes, alias: bytes, passwords: tuple[str, ...]) -> Found:
    try:
        algorithm, octets = der.expect(
            protected, der.read_whole(protected), der.SEQUENCE, der.OCTET_STRING
        )[:2]
        name = der.expect(protected, algorithm, der.OBJECT_IDENTIFIER)[0]
        known = der.dotted(protected, name) == KEY_PROTECTOR
        ciphertext = der.content(protected, octets)
    except der.DerError:
        return sealed_key(protected, alias, "malformed-sealed-key")
    if not known:
        return sealed_key(ciphertext, alias, "unknown-encryption")
    return read_protected_key(ciphertext, alias, passwords)
