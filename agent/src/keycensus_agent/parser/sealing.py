"""Try passwords on password-based encryption: PKCS#5 (v1.5 and PBES2) and the schemes of PKCS#12.

Parser side: computing on hostile bytes and secrets. Work is counted before it is done, because a
thousand bytes can ask for hours. Passwords and plain text never reach an error, a log or a repr.
Sources: RFC 8018, RFC 7292 appendix B, RFC 7914.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from cryptography.hazmat.decrepit.ciphers.algorithms import ARC4, TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from keycensus_agent.parser import der, rc2

# Iterations that are spent on one file, over all its containers, keys and candidate passwords: an
# NSS export takes 600,000 a password, Java 10,000. A million takes about half a second here.
_ITERATIONS = 4_000_000
# Memory of one scrypt, in bytes: OpenSSL's default takes 16 MiB.
_SCRYPT_MEMORY = 48 * 1024 * 1024


# Block of DES and RC2 in bytes.
_BLOCK = 8


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


class Opened(NamedTuple):
    """Plain bytes, and whether a password that is not empty protected them."""

    plain: bytes
    protected: bool


@dataclass(frozen=True, slots=True)
class _LegacyScheme:
    """One row of the schemes that have hash, cipher and lengths in their OID."""

    cipher: str
    key_bytes: int
    effective_bits: int = 0
    # Hash of the PKCS#5 v1.5 derivation; the schemes of PKCS#12 have their own, with SHA-1.
    pkcs5_digest: str = ""


_LEGACY = {
    "1.2.840.113549.1.12.1.1": _LegacyScheme("rc4", 16),
    "1.2.840.113549.1.12.1.2": _LegacyScheme("rc4", 5),
    "1.2.840.113549.1.12.1.3": _LegacyScheme("3des", 24),
    "1.2.840.113549.1.12.1.4": _LegacyScheme("3des", 16),
    "1.2.840.113549.1.12.1.5": _LegacyScheme("rc2", 16, 128),
    "1.2.840.113549.1.12.1.6": _LegacyScheme("rc2", 5, 40),
    "1.2.840.113549.1.5.3": _LegacyScheme("3des", 8, pkcs5_digest="md5"),
    "1.2.840.113549.1.5.6": _LegacyScheme("rc2", 8, 64, pkcs5_digest="md5"),
    "1.2.840.113549.1.5.10": _LegacyScheme("3des", 8, pkcs5_digest="sha1"),
    "1.2.840.113549.1.5.11": _LegacyScheme("rc2", 8, 64, pkcs5_digest="sha1"),
}
_PBES2 = "1.2.840.113549.1.5.13"
_PBKDF2 = "1.2.840.113549.1.5.12"
_SCRYPT = "1.3.6.1.4.1.11591.4.11"
_PSEUDO_RANDOM = {
    "1.2.840.113549.2.7": "sha1",
    "1.2.840.113549.2.8": "sha224",
    "1.2.840.113549.2.9": "sha256",
    "1.2.840.113549.2.10": "sha384",
    "1.2.840.113549.2.11": "sha512",
    "1.2.840.113549.2.12": "sha512_224",
    "1.2.840.113549.2.13": "sha512_256",
}
# Cipher and key length in bytes.
_PBES2_CIPHERS = {
    "1.2.840.113549.3.7": ("3des", 24),
    "2.16.840.1.101.3.4.1.2": ("aes", 16),
    "2.16.840.1.101.3.4.1.22": ("aes", 24),
    "2.16.840.1.101.3.4.1.42": ("aes", 32),
}


def open_sealed(
    algorithm: bytes,
    ciphertext: bytes,
    passwords: Iterable[str | None],
    budget: IterationBudget,
    accept: Callable[[bytes], bool],
) -> Opened | None:
    """Return the plain bytes under the first password whose result `accept` takes; None if none.

    `algorithm` is an AlgorithmIdentifier in DER. A password of None is the absent one, which PKCS#12
    tells apart from the empty one. Raises LimitError, UnknownSchemeError, DerError.
    """
    fields = der.expect(algorithm, der.read_whole(algorithm), der.OBJECT_IDENTIFIER, der.SEQUENCE)
    oid = der.dotted(algorithm, fields[0])
    if oid == _PBES2:
        attempt = _pbes2(algorithm, fields[1], budget)
    elif oid in _LEGACY:
        attempt = _legacy(_LEGACY[oid], algorithm, fields[1], budget)
    else:
        raise UnknownSchemeError(oid)
    for password in passwords:
        plain = _unpadded(attempt, password, ciphertext)
        if plain is not None and accept(plain):
            return Opened(plain, bool(password))
    return None


_Attempt = Callable[[str | None, bytes], tuple[bytes, bool]]


def _unpadded(attempt: _Attempt, password: str | None, ciphertext: bytes) -> bytes | None:
    """Return what a password gives, without its PKCS#7 padding; None if it can't be right."""
    try:
        plain, padded = attempt(password, ciphertext)
    except (LimitError, UnknownSchemeError, der.DerError):
        raise
    except ValueError:
        # Lengths that do not fit the cipher: not something that any password opens.
        return None
    return without_padding(plain) if padded else plain


def without_padding(plain: bytes) -> bytes | None:
    """Return the bytes without their PKCS#7 padding (RFC 5652, 6.3); None if they have none."""
    count = plain[-1] if plain else 0
    if not 0 < count <= 16 or plain[-count:] != bytes([count]) * count:
        return None
    return plain[:-count]


def _legacy(
    scheme: _LegacyScheme, data: bytes, parameters: der.Element, budget: IterationBudget
) -> _Attempt:
    salt_field, count_field = der.expect(data, parameters, der.OCTET_STRING, der.INTEGER)[:2]
    salt, iterations = der.content(data, salt_field), der.integer(data, count_field)

    def attempt(password: str | None, ciphertext: bytes) -> tuple[bytes, bool]:
        if scheme.pkcs5_digest:
            secret = (password or "").encode("utf-8", "surrogatepass")
            derived = _pbkdf1(scheme.pkcs5_digest, secret, salt, iterations, budget)
            key, iv = derived[:8], derived[8:16]
            return _decipher(scheme, key, iv, ciphertext), True
        derive = _Pkcs12Derivation(_bmp_password(password), salt, iterations, budget)
        key = derive(1, scheme.key_bytes)
        if scheme.cipher == "rc4":
            return _decipher(scheme, key, b"", ciphertext), False
        last = _last_block(scheme, key, ciphertext)
        if without_padding(last) is None:
            # A wrong password in all but 1 of 256 cases: the other derivation is saved.
            return last, True
        return _decipher(scheme, key, derive(2, _BLOCK), ciphertext), True

    return attempt


def _last_block(scheme: _LegacyScheme, key: bytes, ciphertext: bytes) -> bytes:
    """Return the last block's plain bytes, for which the key and the block before it are enough.

    Of a single block, whose predecessor is the initialisation vector, something well padded.
    """
    if len(ciphertext) < 2 * _BLOCK:
        return b"\x01"
    return _decipher(scheme, key, ciphertext[-2 * _BLOCK : -_BLOCK], ciphertext[-_BLOCK:])


def _decipher(scheme: _LegacyScheme, key: bytes, iv: bytes, ciphertext: bytes) -> bytes:
    if scheme.cipher == "rc4":
        decryptor = Cipher(ARC4(key), mode=None).decryptor()
        return decryptor.update(ciphertext) + decryptor.finalize()
    if scheme.cipher == "rc2":
        return rc2.decrypt_cbc(key, scheme.effective_bits, iv, ciphertext)
    return _cbc("3des", key, iv, ciphertext)


def _cbc(cipher: str, key: bytes, iv: bytes, ciphertext: bytes) -> bytes:
    # DES is Triple-DES with one key three times; two-key Triple-DES repeats the first.
    triple = {8: key * 3, 16: key + key[:8]}.get(len(key), key)
    algorithm = AES(key) if cipher == "aes" else TripleDES(triple)
    decryptor = Cipher(algorithm, modes.CBC(iv)).decryptor()
    return decryptor.update(ciphertext) + decryptor.finalize()


def _bmp_password(password: str | None) -> bytes:
    """Return a password as RFC 7292 B.1 wants it: big-endian UTF-16 with a final zero."""
    return b"" if password is None else password.encode("utf-16-be", "surrogatepass") + b"\0\0"


@dataclass(frozen=True, slots=True, repr=False)
class _Pkcs12Derivation:
    """Key (purpose 1) and initialisation vector (2) from a password, RFC 7292 appendix B.2."""

    secret: bytes
    salt: bytes
    iterations: int
    budget: IterationBudget

    def __call__(self, purpose: int, size: int) -> bytes:
        block = 64
        repeated = _fill(self.salt, block) + _fill(self.secret, block)
        derived = b""
        while len(derived) < size:
            self.budget.spend(self.iterations)
            piece = bytes([purpose]) * block + repeated
            for _ in range(self.iterations):
                piece = hashlib.sha1(piece).digest()  # noqa: S324 - the hash that these files use
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


def _pbkdf1(
    digest: str, secret: bytes, salt: bytes, iterations: int, budget: IterationBudget
) -> bytes:
    """RFC 8018, 5.1."""
    budget.spend(iterations)
    derived = secret + salt
    for _ in range(iterations):
        derived = hashlib.new(digest, derived, usedforsecurity=False).digest()
    return derived


def _pbes2(data: bytes, parameters: der.Element, budget: IterationBudget) -> _Attempt:
    derivation, encryption = der.expect(data, parameters, der.SEQUENCE, der.SEQUENCE)[:2]
    scheme = der.expect(data, encryption, der.OBJECT_IDENTIFIER, der.OCTET_STRING)
    cipher_oid = der.dotted(data, scheme[0])
    if cipher_oid not in _PBES2_CIPHERS:
        raise UnknownSchemeError(cipher_oid)
    cipher, key_bytes = _PBES2_CIPHERS[cipher_oid]
    iv = der.content(data, scheme[1])
    derive = _derivation(data, derivation, key_bytes, budget)

    def attempt(password: str | None, ciphertext: bytes) -> tuple[bytes, bool]:
        key = derive((password or "").encode("utf-8", "surrogatepass"))
        return _cbc(cipher, key, iv, ciphertext), True

    return attempt


def _derivation(
    data: bytes, function: der.Element, size: int, budget: IterationBudget
) -> Callable[[bytes], bytes]:
    name, parameters = der.expect(data, function, der.OBJECT_IDENTIFIER, der.SEQUENCE)[:2]
    oid = der.dotted(data, name)
    if oid == _PBKDF2:
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
        if oid not in _PSEUDO_RANDOM:
            raise UnknownSchemeError(oid)
        digest = _PSEUDO_RANDOM[oid]

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
