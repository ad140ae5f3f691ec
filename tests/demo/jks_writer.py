"""Write a Java key store (JKS) without Java, for sample hosts on machines that have no keytool.

The format is that of `sun.security.provider.JavaKeyStore`: a big-endian stream of entries, the
whole signed with SHA-1 over the password and the text "Mighty Aphrodite". Private keys are wrapped
by `sun.security.provider.KeyProtector`: XOR with a SHA-1 key stream. Weak on purpose of its makers;
sample keys only.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from demo.issuing import SampleKey

MAGIC = 0xFEEDFEED
VERSION = 2
PRIVATE_KEY_TAG, TRUSTED_CERTIFICATE_TAG = 1, 2
_WHITENER = b"Mighty Aphrodite"
# AlgorithmIdentifier of 1.3.6.1.4.1.42.2.17.1.1 (JavaSoft's key protector) with NULL parameters.
_KEY_PROTECTOR = bytes.fromhex("300e060a2b060104012a021101010500")


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """A private key under an alias, with its chain, leaf first."""

    alias: str
    key: SampleKey
    chain: tuple[x509.Certificate, ...]


@dataclass(frozen=True, slots=True)
class TrustedEntry:
    """A certificate under an alias."""

    alias: str
    certificate: x509.Certificate


def write_jks(entries: list[KeyEntry | TrustedEntry], password: str, created: datetime) -> bytes:
    """Return the bytes of a JKS whose store and keys have the same `password`."""
    body = _u32(MAGIC) + _u32(VERSION) + _u32(len(entries))
    created_ms = int(created.timestamp() * 1000).to_bytes(8, "big")
    for entry in entries:
        if isinstance(entry, KeyEntry):
            wrapped = _protect(entry.key, password)
            body += _u32(PRIVATE_KEY_TAG) + _utf(entry.alias) + created_ms
            body += _u32(len(wrapped)) + wrapped + _u32(len(entry.chain))
            body += b"".join(map(_certificate, entry.chain))
        else:
            body += _u32(TRUSTED_CERTIFICATE_TAG) + _utf(entry.alias) + created_ms
            body += _certificate(entry.certificate)
    digest = hashlib.sha1(password.encode("utf-16-be") + _WHITENER + body, usedforsecurity=False)
    return body + digest.digest()


def _protect(key: SampleKey, password: str) -> bytes:
    """Return EncryptedPrivateKeyInfo (RFC 5958) around salt, XORed PKCS#8 and check sum."""
    plain = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    secret = password.encode("utf-16-be")
    salt = os.urandom(20)
    stream, block = b"", salt
    while len(stream) < len(plain):
        block = hashlib.sha1(secret + block, usedforsecurity=False).digest()
        stream += block
    sealed = bytes(a ^ b for a, b in zip(plain, stream, strict=False))
    check = hashlib.sha1(secret + plain, usedforsecurity=False).digest()
    return _der(0x30, _KEY_PROTECTOR + _der(0x04, salt + sealed + check))


def _der(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 0x80:
        return bytes([tag, length]) + content
    encoded = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(encoded)]) + encoded + content


def _certificate(certificate: x509.Certificate) -> bytes:
    der = certificate.public_bytes(Encoding.DER)
    return _utf("X.509") + _u32(len(der)) + der


def _utf(text: str) -> bytes:
    encoded = text.encode()
    return len(encoded).to_bytes(2, "big") + encoded


def _u32(value: int) -> bytes:
    return value.to_bytes(4, "big")
