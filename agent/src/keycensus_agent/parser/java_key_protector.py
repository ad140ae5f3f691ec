"""A private key under sun.security.provider.KeyProtector: opened with a password, or reported sealed.

Parser side: computing on hostile bytes and secrets. Salt, key XOR a chain of SHA-1, and SHA-1 over
password and key as a check. JKS protects every key so, JCEKS those of its first releases. Source:
KeyProtector.java of OpenJDK.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence

from keycensus_agent.parser.findings import Found, sealed_key
from keycensus_agent.parser.java_store import sha1, utf_16
from keycensus_agent.parser.private_key import MalformedKeyError, read_private_key

KEY_PROTECTOR = "1.3.6.1.4.1.42.2.17.1.1"
_HASH_BYTES = 20


def read_protected_key(ciphertext: bytes, alias: bytes, passwords: Sequence[str]) -> Found:
    """Return the entry of a key whose protected octets are given."""
    for password in passwords:
        plain = _unprotect(ciphertext, utf_16(password))
        if plain is not None:
            try:
                return read_private_key(plain, alias, encrypted=bool(password))
            except MalformedKeyError as error:
                return sealed_key(ciphertext, alias, str(error))
    return sealed_key(ciphertext, alias)


def _unprotect(ciphertext: bytes, password: bytes) -> bytes | None:
    """Return the key, or None if the check over password and key does not come out."""
    salt, body = ciphertext[:_HASH_BYTES], ciphertext[_HASH_BYTES:-_HASH_BYTES]
    check = ciphertext[-_HASH_BYTES:]
    stream = bytearray()
    digest = salt
    while len(stream) < len(body):
        digest = sha1(password, digest)
        stream += digest
    size = len(body)
    mask = int.from_bytes(stream[:size], "big")
    plain = (int.from_bytes(body, "big") ^ mask).to_bytes(size, "big")
    return plain if hmac.compare_digest(sha1(password, plain), check) else None
