"""JCEKS: Java's keystore of 1.4 to 8 days, with stronger keys and room for secret ones.

Pure, on hostile bytes; see `java_store`. Private keys are PKCS#8 under PBEWithMD5AndTripleDES, those of
its first releases as in JKS; secret keys are serialized objects, which are passed over. Source:
JceKeyStore.java and KeyProtector.java (com.sun.crypto.provider) of OpenJDK.
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
from keycensus_agent.parser.private_key import MalformedKeyError
from keycensus_agent.parser.sealed_key import read_sealed_key
from keycensus_agent.parser.sealing import IterationBudget

NAME = "jceks"
DESCRIPTION = "Java's JCEKS keystore: certificates and aliases without its password, keys with it"
SUFFIXES = ("jceks", "jce", "keystore")

_MAGIC = b"\xce\xce\xce\xce"


def recognise(data: bytes, hint: Hint) -> Confidence:
    """Tell by the magic number."""
    del hint
    return Confidence.SURE if data[:4] == _MAGIC else Confidence.NO


def parse(data: bytes, request: Request) -> FormatResult:
    """Return trusted certificates, chains, and each private key as opened or sealed."""
    budget = IterationBudget()

    def open_key(protected: bytes, alias: bytes) -> Found:
        return _opened_or_sealed(protected, alias, request.passwords, budget)

    return read_java_store(NAME, data, request.passwords, open_key)


def _opened_or_sealed(
    protected: bytes, alias: bytes, passwords: tuple[str, ...], budget: IterationBudget
) -> Found:
    try:
        algorithm, octets = der.expect(
            protected, der.read_whole(protected), der.SEQUENCE, der.OCTET_STRING
        )[:2]
        name = der.dotted(protected, der.expect(protected, algorithm, der.OBJECT_IDENTIFIER)[0])
        if name == KEY_PROTECTOR:
            return read_protected_key(der.content(protected, octets), alias, passwords)
        return read_sealed_key(protected, passwords, budget, alias)
    except (der.DerError, MalformedKeyError):
        return sealed_key(protected, alias, "malformed-sealed-key")
