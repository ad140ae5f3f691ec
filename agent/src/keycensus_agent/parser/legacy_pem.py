"""Private keys encrypted by PEM headers (Proc-Type, DEK-Info), as OpenSSL wrote them before 1.0.

Parser side: computing on hostile bytes and secrets. Sources: RFC 1421 4.6.1, EVP_BytesToKey(3).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from keycensus_agent.parser.findings import Found, sealed_key
from keycensus_agent.parser.private_key import MalformedKeyError, read_private_key
from keycensus_agent.parser.sealing import without_padding

# Cipher and key length in bytes by the name in DEK-Info.
_CIPHERS: dict[bytes, tuple[type[AES | TripleDES], int]] = {
    b"DES-CBC": (TripleDES, 8),
    b"DES-EDE3-CBC": (TripleDES, 24),
    b"AES-128-CBC": (AES, 16),
    b"AES-192-CBC": (AES, 24),
    b"AES-256-CBC": (AES, 32),
}


def read_legacy_key(dek_info: bytes, ciphertext: bytes, passwords: Iterable[str]) -> Found:
    """Return the entry of a key whose DEK-Info header is given: opened, or sealed with the reason."""
    name, _, parameter = dek_info.partition(b",")
    if name.strip() not in _CIPHERS:
        return sealed_key(ciphertext, reason="unknown-encryption")
    try:
        iv = bytes.fromhex(parameter.decode("ascii"))
    except ValueError:
        return sealed_key(ciphertext, reason="malformed-sealed-key")
    cipher, size = _CIPHERS[name.strip()]
    for password in passwords:
        secret = password.encode("utf-8", "surrogatepass")
        plain = _decrypt(cipher, _derive(secret, iv[:8], size), iv, ciphertext)
        if plain is None:
            continue
        try:
            return read_private_key(plain, encrypted=bool(password))
        except MalformedKeyError:
            # One wrong password in 256 leaves something that looks padded.
            continue
    return sealed_key(ciphertext)


def _derive(secret: bytes, salt: bytes, size: int) -> bytes:
    key = piece = b""
    while len(key) < size:
        piece = hashlib.md5(piece + secret + salt, usedforsecurity=False).digest()
        key += piece
    return key[:size]


def _decrypt(
    cipher: type[AES | TripleDES], key: bytes, iv: bytes, ciphertext: bytes
) -> bytes | None:
    try:
        # DES is Triple-DES with one key three times.
        algorithm = cipher(key * 3 if len(key) == 8 else key)
        decryptor = Cipher(algorithm, modes.CBC(iv)).decryptor()
        return without_padding(decryptor.update(ciphertext) + decryptor.finalize())
    except ValueError:
        return None
