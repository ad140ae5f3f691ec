"""Files made to break who reads them: small DER with absurd numbers, and bytes that go on for ever.

Structures as in RFC 5958, 8018, 7292, 5280, SEC 1 and OpenSSH's PROTOCOL.key, written by hand: no tool
writes what these claim.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable

from fakes.certificates import Leaf

ABSURD = 1 << 31


def der(tag: int, *parts: bytes) -> bytes:
    """Return one element of DER."""
    body = b"".join(parts)
    if len(body) < 0x80:
        return bytes((tag, len(body))) + body
    length = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + body


def sequence(*parts: bytes) -> bytes:
    """Return a SEQUENCE."""
    return der(0x30, *parts)


def integer(value: int) -> bytes:
    """Return an INTEGER that is not negative."""
    return der(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def octets(data: bytes) -> bytes:
    """Return an OCTET STRING."""
    return der(0x04, data)


def oid(dotted: str) -> bytes:
    """Return an OBJECT IDENTIFIER."""
    first, second, *rest = map(int, dotted.split("."))
    body = bytearray([first * 40 + second])
    for arc in rest:
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(arc & 0x7F | 0x80)
        body += bytes(reversed(groups))
    return der(0x06, bytes(body))


def pem(label: str, data: bytes) -> bytes:
    """Return an armoured block."""
    text = base64.encodebytes(data)
    return f"-----BEGIN {label}-----\n".encode() + text + f"-----END {label}-----\n".encode()


def _pbes2(derivation: bytes) -> bytes:
    cipher = sequence(oid("2.16.840.1.101.3.4.1.42"), octets(bytes(16)))
    return sequence(oid("1.2.840.113549.1.5.13"), sequence(derivation, cipher))


def endless_pbkdf2() -> bytes:
    """Return encrypted PKCS#8 with 2^31 iterations."""
    derivation = sequence(oid("1.2.840.113549.1.5.12"), sequence(octets(b"s" * 8), integer(ABSURD)))
    return sequence(_pbes2(derivation), octets(b"x" * 64))


def endless_scrypt() -> bytes:
    """Return encrypted PKCS#8 that asks scrypt for terabytes."""
    numbers = (integer(1 << 30), integer(1 << 20), integer(1 << 20))
    derivation = sequence(oid("1.3.6.1.4.1.11591.4.11"), sequence(octets(b"s" * 8), *numbers))
    return sequence(_pbes2(derivation), octets(b"x" * 64))


def endless_pkcs12() -> bytes:
    """Return a PKCS#12 whose one bag and whose MAC want 2^31 iterations."""
    bag = sequence(oid("1.2.840.113549.1.12.10.1.2"), der(0xA0, endless_pbkdf2()))
    data = oid("1.2.840.113549.1.7.1")
    contents = sequence(sequence(data, der(0xA0, octets(sequence(bag)))))
    digest = sequence(sequence(oid("1.3.14.3.2.26"), der(0x05)), octets(bytes(20)))
    mac = sequence(digest, octets(b"s" * 8), integer(ABSURD))
    return sequence(integer(3), sequence(data, der(0xA0, octets(contents))), mac)


def endless_openssh() -> bytes:
    """Return an OpenSSH key whose bcrypt wants 2^31 rounds."""

    def text(data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + data

    public = text(b"ssh-ed25519") + text(b"p" * 32)
    options = text(b"s" * 16) + struct.pack(">I", ABSURD)
    body = b"openssh-key-v1\0" + text(b"aes256-ctr") + text(b"bcrypt") + text(options)
    body += struct.pack(">I", 1) + text(public) + text(b"x" * 160)
    return pem("OPENSSH PRIVATE KEY", body)


def nested(levels: int) -> bytes:
    """Return SEQUENCEs within each other, each with its true length."""
    data = b""
    # From the inside: the lengths of so many levels are computed, not nested calls.
    for _ in range(levels):
        size = len(data)
        if size < 0x80:
            data = bytes((0x30, size)) + data
        else:
            length = size.to_bytes((size.bit_length() + 7) // 8, "big")
            data = bytes((0x30, 0x80 | len(length))) + length + data
        if len(data) > 4000:
            break
    return b"\x30\x80" * (levels - 1000) + data


def huge_rsa_public() -> bytes:
    """Return a public key with a modulus of 2^20 bits."""
    key = sequence(integer((1 << (1 << 20)) - 1), integer(65537))
    algorithm = sequence(oid("1.2.840.113549.1.1.1"), der(0x05))
    return sequence(algorithm, der(0x03, b"\0" + key))


def huge_rsa_private() -> bytes:
    """Return a PKCS#1 key whose numbers have 2^20 bits and are no key."""
    number = integer((1 << (1 << 20)) - 1)
    return sequence(integer(0), number, integer(65537), *([number] * 6))


def huge_rsa_certificate() -> bytes:
    """Return a certificate of such a key, with a signature as long."""
    algorithm = sequence(oid("1.2.840.113549.1.1.11"), der(0x05))
    time = der(0x17, b"260101000000Z")
    body = sequence(
        integer(1), algorithm, sequence(), sequence(time, time), sequence(), huge_rsa_public()
    )
    return sequence(body, algorithm, der(0x03, b"\0" + b"s" * (1 << 17)))


def explicit_curve() -> bytes:
    """Return a SEC 1 key over a field of 2^20 bits that it spells out."""
    prime = integer((1 << (1 << 20)) - 1)
    field = sequence(oid("1.2.840.10045.1.1"), prime)
    curve = sequence(octets(b"\1"), octets(b"\2"))
    parameters = sequence(integer(1), field, curve, octets(b"\4" + b"g" * 64), prime, integer(1))
    return sequence(integer(1), octets(b"k" * 32), der(0xA0, parameters))


def bundle() -> bytes:
    """Return one certificate as text, to be repeated."""
    return Leaf("bundle.example").pem


# Each with a name whose suffix says what it claims to be.
BOMBS: dict[str, Callable[[], bytes]] = {
    "pbkdf2.p8": endless_pbkdf2,
    "pbkdf2.pem": lambda: pem("ENCRYPTED PRIVATE KEY", endless_pbkdf2()),
    "scrypt.p8": endless_scrypt,
    "iterations.p12": endless_pkcs12,
    "rounds.key": endless_openssh,
    "nested.der": lambda: nested(100_000),
    "nested.pem": lambda: pem("PRIVATE KEY", nested(100_000)),
    "nested.p7b": lambda: pem("PKCS7", nested(100_000)),
    "open-ended.der": lambda: b"\x30\x80" * 100_000,
    "modulus.pub": lambda: pem("PUBLIC KEY", huge_rsa_public()),
    "modulus.key": lambda: pem("RSA PRIVATE KEY", huge_rsa_private()),
    "modulus.cer": huge_rsa_certificate,
    "explicit.key": lambda: pem("EC PRIVATE KEY", explicit_curve()),
}
