"""From a password to a key: PBKDF1 and 2, scrypt, PKCS#12's own way, and Java's with Triple-DES.

Parser side: computing on hostile numbers and secrets. Work is counted before it is done, because a
thousand bytes can ask for hours. Secrets are bytes here; how a password is spelled as bytes is for
`sealing` to say. Sources: RFC 8018, RFC 7292 appendix B, RFC 7914, PBES1Core.java of OpenJDK.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from keycensus_agent.parser import der, libcrypto

# Iterations that are spent on one file, over all its containers, keys and candidate passwords: an
# export of Firefox takes 1,800,000 for a key (three derivations of 600,000), Java 10,000. A million
# takes about half a second here.
_ITERATIONS = 6_000_000
# Memory of one scrypt, in bytes: OpenSSL's default takes 16 MiB.
_SCRYPT_MEMORY = 48 * 1024 * 1024

PBKDF2 = "1.2.840.113549.1.5.12"
_SCRYPT = "1.3.6.1.4.1.11591.4.11"
# RFC 8018 B.1 and what OpenSSL takes besides.
_PSEUDO_RANDOM = {
    "1.2.840.113549.2.6": "md5",
    "1.3.6.1.5.5.8.1.1": "md5",
    "1.2.840.113549.2.7": "sha1",
    "1.3.6.1.5.5.8.1.2": "sha1",
    "1.2.840.113549.2.8": "sha224",
    "1.2.840.113549.2.9": "sha256",
    "1.2.840.113549.2.10": "sha384",
    "1.2.840.113549.2.11": "sha512",
    "1.2.840.113549.2.12": "sha512_224",
    "1.2.840.113549.2.13": "sha512_256",
    "2.16.840.1.101.3.4.2.13": "sha3_224",
    "2.16.840.1.101.3.4.2.14": "sha3_256",
    "2.16.840.1.101.3.4.2.15": "sha3_384",
    "2.16.840.1.101.3.4.2.16": "sha3_512",
    "1.2.156.10197.1.401.3.1": "sm3",
}


class LimitError(ValueError):
    """Opening this would take more work than a file may; `str()` is the stable reason."""


class UnknownSchemeError(ValueError):
    """The encryption is of a kind that is not known here."""


class IterationBudget:
    """The work that one file may still cause, in iterations of a hash."""

    def __init__(self, iterations: int = _ITERATIONS) -> None:
        self._left = iterations

    def spend(self, iterations: int) -> None:
        """Take from what is left; LimitError if it is not enough."""
        if not 0 < iterations <= self._left:
            raise LimitError("limit-iterations")
        self._left -= iterations


@dataclass(frozen=True, slots=True, repr=False)
class Pkcs12Derivation:
    """Key (purpose 1), initialisation vector (2) or MAC key (3), RFC 7292 appendix B.2."""

    secret: bytes
    salt: bytes
    iterations: int
    budget: IterationBudget
    digest: str = "sha1"
    """Of hashlib; what is sealed in these files uses SHA-1."""

    def __call__(self, purpose: int, size: int) -> bytes:
        """Return so many bytes for a purpose; LimitError if they would cost too much."""
        hashed = getattr(hashlib, self.digest)
        for _ in range(0, size, hashed().digest_size):
            self.budget.spend(self.iterations)
        found = libcrypto.derived(
            self.secret,
            self.salt,
            purpose=purpose,
            iterations=self.iterations,
            size=size,
            digest=self.digest,
        )
        return self._computed(purpose, size) if found is None else found

    def _computed(self, purpose: int, size: int) -> bytes:
        hashed = getattr(hashlib, self.digest)
        block = hashed().block_size
        repeated = _fill(self.salt, block) + _fill(self.secret, block)
        derived = b""
        while len(derived) < size:
            piece = bytes([purpose]) * block + repeated
            for _ in range(self.iterations):
                piece = hashed(piece).digest()
            derived += piece
            addend = int.from_bytes(_fill(piece, block), "big") + 1
            repeated = b"".join(
                (int.from_bytes(repeated[at : at + block], "big") + addend).to_bytes(
                    block + 1, "big"
                )[1:]
                for at in range(0, len(repeated), block)
            )
        return derived[:size]


def _fill(value: bytes, block: int) -> bytes:
    """Repeat to whole blocks; nothing stays nothing. A piece is cut to one block."""
    if not value:
        return b""
    size = block * ((len(value) + block - 1) // block)
    return (value * (size // len(value) + 1))[:size]


def pbkdf1(
    digest: str, secret: bytes, salt: bytes, iterations: int, budget: IterationBudget
) -> bytes:
    """RFC 8018, 5.1."""
    budget.spend(iterations)
    derived = secret + salt
    for _ in range(iterations):
        derived = hashlib.new(digest, derived, usedforsecurity=False).digest()
    return derived


def java_halves(secret: bytes, salt: bytes, iterations: int, budget: IterationBudget) -> bytes:
    """Return 24 bytes of key and 8 of initialisation vector: MD5 over each half of the salt.

    Where the halves are equal Java means to turn the first one round and, by a slip that every
    writer has, does something else; it is done here as there.
    """
    if len(salt) != 8:
        raise UnknownSchemeError("a salt of other than 8 bytes")
    first, second = salt[:4], salt[4:]
    if first == second:
        first = bytes((first[3], first[0], first[1], first[3]))
    derived = b""
    for half in (first, second):
        budget.spend(iterations)
        piece = half
        for _ in range(iterations):
            piece = hashlib.md5(piece + secret, usedforsecurity=False).digest()
        derived += piece
    return derived


def stated_key_bytes(data: bytes, function: der.Element) -> int:
    """Return the length of key that PBKDF2's parameters state (RFC 8018, A.2), 0 if they state none."""
    fields = der.expect(data, function, der.OBJECT_IDENTIFIER, der.SEQUENCE)
    if der.dotted(data, fields[0]) != PBKDF2:
        return 0
    stated = der.children(data, fields[1])[2:3]
    return der.integer(data, stated[0]) if stated and stated[0].tag == der.INTEGER else 0


def derivation(
    data: bytes, function: der.Element, size: int, budget: IterationBudget
) -> Callable[[bytes], bytes]:
    """Return what makes a key of `size` bytes from a secret, as an AlgorithmIdentifier says.

    UnknownSchemeError for another function than PBKDF2 and scrypt, LimitError, DerError.
    """
    name, parameters = der.expect(data, function, der.OBJECT_IDENTIFIER, der.SEQUENCE)[:2]
    oid = der.dotted(data, name)
    if oid == PBKDF2:
        return _pbkdf2(data, parameters, size, budget)
    if oid == _SCRYPT:
        return _scrypt(data, parameters, size, budget)
    raise UnknownSchemeError(oid)


def _pbkdf2(
    data: bytes, parameters: der.Element, size: int, budget: IterationBudget
) -> Callable[[bytes], bytes]:
    """RFC 8018, A.2: salt, iterations, optional key length, pseudo-random function or HMAC-SHA-1."""
    fields = der.expect(data, parameters, der.OCTET_STRING, der.INTEGER)
    salt, iterations = der.content(data, fields[0]), der.integer(data, fields[1])
    digest = "sha1"
    if fields[-1].tag == der.SEQUENCE:
        oid = der.dotted(data, der.expect(data, fields[-1], der.OBJECT_IDENTIFIER)[0])
        # A hash that this OpenSSL was built without (SM3) is as good as unknown.
        digest = _PSEUDO_RANDOM.get(oid, "")
        if digest not in hashlib.algorithms_available:
            raise UnknownSchemeError(oid)

    def derive(secret: bytes) -> bytes:
        budget.spend(iterations)
        return hashlib.pbkdf2_hmac(digest, secret, salt, iterations, size)

    return derive


def _scrypt(
    data: bytes, parameters: der.Element, size: int, budget: IterationBudget
) -> Callable[[bytes], bytes]:
    """RFC 7914, 7.1: salt, cost, block size, parallelization."""
    fields = der.expect(data, parameters, der.OCTET_STRING, *[der.INTEGER] * 3)
    salt = der.content(data, fields[0])
    n, r, p = (der.integer(data, field) for field in fields[1:4])
    if min(n, r, p) < 1 or 128 * n * r > _SCRYPT_MEMORY:
        raise LimitError("limit-memory")

    def derive(secret: bytes) -> bytes:
        # One unit of cost moves 128 bytes twice: about as long as four iterations of a hash.
        budget.spend(4 * n * r * p)
        return hashlib.scrypt(
            secret, salt=salt, n=n, r=r, p=p, maxmem=_SCRYPT_MEMORY * 2, dklen=size
        )

    return derive
