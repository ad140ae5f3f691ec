"""An encrypted private key (PKCS#8): opened with the passwords at hand, or reported as sealed.

Parser side: computing on hostile bytes and secrets; see `sealing` and `private_key`.
"""

from __future__ import annotations

from collections.abc import Iterable

from keycensus_agent.parser import der
from keycensus_agent.parser.findings import Found, sealed_key
from keycensus_agent.parser.private_key import MalformedKeyError, read_private_key
from keycensus_agent.parser.sealing import (
    IterationBudget,
    LimitError,
    UnknownSchemeError,
    open_sealed,
)


def read_sealed_key(
    data: bytes,
    passwords: Iterable[str | None],
    budget: IterationBudget,
    member: bytes = b"",
) -> Found:
    """Return the entry of an EncryptedPrivateKeyInfo in DER (RFC 5958, 3).

    Its identity while it is sealed is the SHA-256 of the encrypted octets alone, so that it is the
    same in every container. MalformedKeyError if the structure is none.
    """
    try:
        fields = _fields(data)
        algorithm = der.encoding(data, fields[0])
        ciphertext = der.octets(data, fields[1])
        der.expect(algorithm, der.read_whole(algorithm), der.OBJECT_IDENTIFIER)
    except der.DerError:
        raise MalformedKeyError("malformed-sealed-key") from None
    try:
        opened = open_sealed(algorithm, ciphertext, passwords, budget, _is_private_key)
        if opened is None:
            return sealed_key(ciphertext, member)
        return read_private_key(opened.plain, member, encrypted=opened.protected)
    except (LimitError, MalformedKeyError) as error:
        return sealed_key(ciphertext, member, str(error))
    except (UnknownSchemeError, der.DerError):
        return sealed_key(ciphertext, member, "unknown-encryption")


def _fields(data: bytes) -> list[der.Element]:
    """Return algorithm and encrypted octets, which BER may have cut into pieces."""
    fields = der.expect(data, der.read_whole(data), der.SEQUENCE)
    if len(fields) < 2 or fields[1].tag & ~der.CONSTRUCTED != der.OCTET_STRING:
        raise der.DerError("no encrypted octets")
    return fields


def _is_private_key(plain: bytes) -> bool:
    try:
        der.expect(plain, der.read_whole(plain), der.INTEGER, der.SEQUENCE, der.OCTET_STRING)
    except der.DerError:
        return False
    return True
