"""Try passwords on password-based encryption: PKCS#5 (v1.5 and PBES2), PKCS#12's and Java's schemes.

Parser side: computing on hostile bytes and secrets. Passwords and plain text never reach an error, a
log or a repr. A password that is not ASCII is tried as its standard spells it and as writers that did
not follow it do. Sources: RFC 8018, RFC 7292 appendix B, EVP_PKEY and PKCS12 of OpenSSL,
PBES1Core.java of OpenJDK.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm

from keycensus_agent.parser import ciphers, der
from keycensus_agent.parser.derivation import (
    IterationBudget,
    LimitError,
    Pkcs12Derivation,
    UnknownSchemeError,
    derivation,
    java_halves,
    pbkdf1,
    stated_key_bytes,
)

__all__ = [
    "Candidates",
    "IterationBudget",
    "LimitError",
    "Opened",
    "UnknownSchemeError",
    "bmp_spellings",
    "open_sealed",
    "triple_des_algorithm",
    "without_padding",
]

# Block of DES and RC2 in bytes.
_BLOCK = 8
# Parts of a file on which the empty password is tried in vain.
_PARTS_IN_VAIN = 3
# RC2 is deciphered in Python: one block of many takes as long as so many iterations of a hash.
_RC2_COST = 2


class Candidates:
    """The passwords that are tried on all parts of one file, the one that opened something first.

    The empty and the absent password come last; where they opened nothing of `parts_in_vain` parts, those that
    follow are spared them: a store of many keys would spend its whole budget on them.
    """

    def __init__(self, passwords: Iterable[str], *, parts_in_vain: int = _PARTS_IN_VAIN) -> None:
        self._all: list[str | None] = [*(one for one in passwords if one), "", None]
        self._failures = 0
        self._parts_in_vain = parts_in_vain

    def __iter__(self) -> Iterator[str | None]:
        return iter(tuple(self._all))

    def opened_by(self, password: str | None) -> None:
        """Try this one first from now on."""
        self._all.remove(password)
        self._all.insert(0, password)
        self._failures = -1

    def failed(self) -> None:
        """Note a part that none of them opened."""
        if self._failures >= 0:
            self._failures += 1
        if self._failures == self._parts_in_vain:
            self.not_empty()

    def not_empty(self) -> None:
        """Try neither the empty nor the absent one any more."""
        self._all = [password for password in self._all if password]


class Opened(NamedTuple):
    """Plain bytes, and whether a password that is not empty protected them."""

    plain: bytes
    protected: bool


class _Attempt(NamedTuple):
    """One way to open one thing: how a password is spelled, and what a spelling gives.

    `decipher` returns the plain bytes, and whether they still have their padding.
    """

    spell: Callable[[str | None], list[bytes]]
    decipher: Callable[[bytes, bytes], tuple[bytes, bool]]


@dataclass(frozen=True, slots=True)
class _LegacyScheme:
    """One row of the schemes that have hash, cipher and lengths in their OID."""

    cipher: str
    key_bytes: int
    # Hash of the PKCS#5 v1.5 derivation; the schemes of PKCS#12 have their own, with SHA-1.
    pkcs5_digest: str = ""


_PKCS12_TRIPLE_DES = "1.2.840.113549.1.12.1.3"
_LEGACY = {
    "1.2.840.113549.1.12.1.1": _LegacyScheme("rc4", 16),
    "1.2.840.113549.1.12.1.2": _LegacyScheme("rc4", 5),
    _PKCS12_TRIPLE_DES: _LegacyScheme("3des", 24),
    "1.2.840.113549.1.12.1.4": _LegacyScheme("3des", 16),
    "1.2.840.113549.1.12.1.5": _LegacyScheme("rc2-128", 16),
    "1.2.840.113549.1.12.1.6": _LegacyScheme("rc2-40", 5),
    "1.2.840.113549.1.5.3": _LegacyScheme("3des", 8, pkcs5_digest="md5"),
    "1.2.840.113549.1.5.6": _LegacyScheme("rc2-64", 8, pkcs5_digest="md5"),
    "1.2.840.113549.1.5.10": _LegacyScheme("3des", 8, pkcs5_digest="sha1"),
    "1.2.840.113549.1.5.11": _LegacyScheme("rc2-64", 8, pkcs5_digest="sha1"),
}
_JAVA_MD5_TRIPLE_DES = "1.3.6.1.4.1.42.2.19.1"
_PBES2 = "1.2.840.113549.1.5.13"
# Cipher and key length in bytes. RC2 has parameters of its own.
_PBES2_CIPHERS = {
    "1.3.14.3.2.7": ("3des", 8),
    "1.2.840.113549.3.7": ("3des", 24),
    "2.16.840.1.101.3.4.1.2": ("aes", 16),
    "2.16.840.1.101.3.4.1.22": ("aes", 24),
    "2.16.840.1.101.3.4.1.42": ("aes", 32),
    "1.2.392.200011.61.1.1.1.2": ("camellia", 16),
    "1.2.392.200011.61.1.1.1.3": ("camellia", 24),
    "1.2.392.200011.61.1.1.1.4": ("camellia", 32),
    "1.2.410.200004.1.4": ("seed", 16),
    "1.2.156.10197.1.104.2": ("sm4", 16),
}
_AES_KEY_BYTES = {16, 24, 32}
_RC2_CBC = "1.2.840.113549.3.2"
# Effective bits by the odd "version" that stands for them (RFC 8018, B.2.3).
_RC2_VERSIONS = {160: 40, 120: 64, 58: 128}


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
    elif oid == _JAVA_MD5_TRIPLE_DES:
        attempt = _java(*_salt_and_count(algorithm, fields[1]), budget)
    else:
        raise UnknownSchemeError(oid)
    return _try(attempt, ciphertext, passwords, accept)


def triple_des_algorithm(salt: bytes, iterations: int) -> bytes:
    """Return the AlgorithmIdentifier of PKCS#12's Triple-DES, for stores that leave it out."""
    parameters = der.encode(
        der.SEQUENCE, der.encode(der.OCTET_STRING, salt), der.encode_integer(iterations)
    )
    return der.encode(der.SEQUENCE, der.encode_oid(_PKCS12_TRIPLE_DES), parameters)


def _try(
    attempt: _Attempt,
    ciphertext: bytes,
    passwords: Iterable[str | None],
    accept: Callable[[bytes], bool],
) -> Opened | None:
    for secret, password in _in_order(attempt, passwords).items():
        plain = _unpadded(attempt, secret, ciphertext)
        if plain is not None and accept(plain):
            if isinstance(passwords, Candidates):
                passwords.opened_by(password)
            return Opened(plain, bool(password))
    if isinstance(passwords, Candidates):
        passwords.failed()
    return None


def _in_order(attempt: _Attempt, passwords: Iterable[str | None]) -> dict[bytes, str | None]:
    """Return each spelling once, with its password: those of the standards first."""
    candidates = tuple(passwords)
    ordered: dict[bytes, str | None] = {}
    for spellings in (slice(1), slice(1, None)):
        for password in candidates:
            for secret in attempt.spell(password)[spellings]:
                ordered.setdefault(secret, password)
    return ordered


def _unpadded(attempt: _Attempt, secret: bytes, ciphertext: bytes) -> bytes | None:
    """Return what a secret gives, without its PKCS#7 padding; None if it can't be right."""
    try:
        plain, padded = attempt.decipher(secret, ciphertext)
    except (LimitError, UnknownSchemeError, der.DerError):
        raise
    except UnsupportedAlgorithm:
        # By how OpenSSL was built.
        raise UnknownSchemeError("no such cipher here") from None
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


# --- passwords as bytes -----------------------------------------------------------------------------


def _byte_spellings(password: str | None) -> list[bytes]:
    """Return a password as UTF-8 and, as writers in old locales spell it, as Latin-1."""
    text = password or ""
    spelled = [text.encode("utf-8", "surrogatepass")]
    if not text.isascii():
        with contextlib.suppress(UnicodeEncodeError):
            spelled.append(text.encode("latin-1"))
    return spelled


def _pbes2_spellings(password: str | None) -> list[bytes]:
    """Return a password as bytes, and as NSS before 3.35 had it in PKCS#12: in UTF-16."""
    wide = [password.encode("utf-16-be", "surrogatepass")] if password else []
    return _byte_spellings(password) + wide


def bmp_spellings(password: str | None) -> list[bytes]:
    """Return a password as RFC 7292 B.1 wants it: big-endian UTF-16 with a final zero.

    Then as OpenSSL had it before version 1.1 and Java in some locales: a character for each byte of
    its UTF-8.
    """
    if password is None:
        return [b""]
    spelled = [password.encode("utf-16-be", "surrogatepass") + b"\0\0"]
    if not password.isascii():
        octets = password.encode("utf-8", "surrogatepass")
        spelled.append(octets.decode("latin-1").encode("utf-16-be") + b"\0\0")
    return spelled


# --- schemes ----------------------------------------------------------------------------------------


def _salt_and_count(data: bytes, parameters: der.Element) -> tuple[bytes, int]:
    salt, count = der.expect(data, parameters, der.OCTET_STRING, der.INTEGER)[:2]
    return der.content(data, salt), der.integer(data, count)


def _legacy(
    scheme: _LegacyScheme, data: bytes, parameters: der.Element, budget: IterationBudget
) -> _Attempt:
    salt, iterations = _salt_and_count(data, parameters)
    if not scheme.pkcs5_digest:
        return _Attempt(bmp_spellings, _pkcs12_decipher(scheme, salt, iterations, budget))

    def decipher(secret: bytes, ciphertext: bytes) -> tuple[bytes, bool]:
        derived = pbkdf1(scheme.pkcs5_digest, secret, salt, iterations, budget)
        return _block_decipher(scheme, derived[:8], derived[8:16], ciphertext, budget), True

    return _Attempt(_byte_spellings, decipher)


def _pkcs12_decipher(
    scheme: _LegacyScheme, salt: bytes, iterations: int, budget: IterationBudget
) -> Callable[[bytes, bytes], tuple[bytes, bool]]:
    def decipher(secret: bytes, ciphertext: bytes) -> tuple[bytes, bool]:
        derive = Pkcs12Derivation(secret, salt, iterations, budget)
        key = derive(1, scheme.key_bytes)
        if scheme.cipher == "rc4":
            return ciphers.decrypt_rc4(key, ciphertext), False
        last = _last_block(scheme, key, ciphertext, budget)
        if without_padding(last) is None:
            # A wrong password in all but 1 of 256 cases: the other derivation is saved.
            return last, True
        return _block_decipher(scheme, key, derive(2, _BLOCK), ciphertext, budget), True

    return decipher


def _last_block(
    scheme: _LegacyScheme, key: bytes, ciphertext: bytes, budget: IterationBudget
) -> bytes:
    """Return the last block's plain bytes, for which the key and the block before it are enough.

    Of a single block, whose predecessor is the initialisation vector, something well padded.
    """
    if len(ciphertext) < 2 * _BLOCK:
        return b"\x01"
    before, last = ciphertext[-2 * _BLOCK : -_BLOCK], ciphertext[-_BLOCK:]
    return _block_decipher(scheme, key, before, last, budget)


def _block_decipher(
    scheme: _LegacyScheme, key: bytes, iv: bytes, ciphertext: bytes, budget: IterationBudget
) -> bytes:
    if scheme.cipher.startswith("rc2"):
        budget.spend(1 + len(ciphertext) // _BLOCK * _RC2_COST)
    return ciphers.decrypt_cbc(scheme.cipher, key, iv, ciphertext)


def _java(salt: bytes, iterations: int, budget: IterationBudget) -> _Attempt:
    """PBEWithMD5AndTripleDES, which only Java has."""

    def decipher(secret: bytes, ciphertext: bytes) -> tuple[bytes, bool]:
        derived = java_halves(secret, salt, iterations, budget)
        return ciphers.decrypt_cbc("3des", derived[:24], derived[24:], ciphertext), True

    return _Attempt(_byte_spellings, decipher)


def _pbes2(data: bytes, parameters: der.Element, budget: IterationBudget) -> _Attempt:
    function, encryption = der.expect(data, parameters, der.SEQUENCE, der.SEQUENCE)[:2]
    cipher, key_bytes, iv = _encryption(data, encryption)
    if cipher == "aes" and stated_key_bytes(data, function) in _AES_KEY_BYTES:
        # The same, but for NSS before 3.35, which took 32 whatever the cipher's name says.
        key_bytes = stated_key_bytes(data, function)
    derive = derivation(data, function, key_bytes, budget)

    def decipher(secret: bytes, ciphertext: bytes) -> tuple[bytes, bool]:
        key = derive(secret)
        if cipher.startswith("rc2"):
            budget.spend(1 + len(ciphertext) // _BLOCK * _RC2_COST)
        return ciphers.decrypt_cbc(cipher, key, iv, ciphertext), True

    return _Attempt(_pbes2_spellings, decipher)


def _encryption(data: bytes, encryption: der.Element) -> tuple[str, int, bytes]:
    """Return cipher, key length and initialisation vector (RFC 8018, B.2)."""
    scheme = der.expect(data, encryption, der.OBJECT_IDENTIFIER)
    oid = der.dotted(data, scheme[0])
    if oid == _RC2_CBC and len(scheme) > 1:
        version, vector = der.expect(data, scheme[1], der.INTEGER, der.OCTET_STRING)[:2]
        bits = _RC2_VERSIONS.get(der.integer(data, version), 0)
        if bits:
            return f"rc2-{bits}", bits // 8, der.content(data, vector)
    if oid not in _PBES2_CIPHERS:
        raise UnknownSchemeError(oid)
    vector = der.expect(data, encryption, der.OBJECT_IDENTIFIER, der.OCTET_STRING)[1]
    return *_PBES2_CIPHERS[oid], der.content(data, vector)
