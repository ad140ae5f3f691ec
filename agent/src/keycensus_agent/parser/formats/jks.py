"""Java KeyStore (JKS): certificates and aliases are in the clear, private keys under a password.

Pure, on hostile bytes. A JCEKS store (same idea, other magic) is recognised and reported as locked.
Source: sun.security.provider.JavaKeyStore and KeyProtector of OpenJDK, whose format is: magic,
version, count, entries (tag, alias, date, content), SHA-1 over password, a phrase, and all before.
"""

from __future__ import annotations

import hashlib
import hmac

from keycensus_agent.model import Status
from keycensus_agent.parser import der
from keycensus_agent.parser.findings import (
    Confidence,
    FormatResult,
    Found,
    Hint,
    Request,
    certificate,
    conclude,
    sealed_container,
    sealed_key,
)
from keycensus_agent.parser.private_key import MalformedKeyError, read_private_key

NAME = "jks"
DESCRIPTION = "Java KeyStore: certificates and aliases without its password, keys with it"
SUFFIXES = ("jks", "keystore", "truststore", "ks")

_MAGIC = b"\xfe\xed\xfe\xed"
_JCEKS_MAGIC = b"\xce\xce\xce\xce"
_PRIVATE_KEY, _TRUSTED_CERTIFICATE = 1, 2
_DIGEST_BYTES = 20
_WHITENER = b"Mighty Aphrodite"
_KEY_PROTECTOR = "1.3.6.1.4.1.42.2.17.1.1"


def recognise(data: bytes, hint: Hint) -> Confidence:
    """Tell by the magic number."""
    del hint
    return Confidence.SURE if data[:4] in {_MAGIC, _JCEKS_MAGIC} else Confidence.NO


def parse(data: bytes, request: Request) -> FormatResult:
    """Return trusted certificates, chains, and each private key as opened or sealed."""
    if data[:4] == _JCEKS_MAGIC:
        locked = sealed_container(data, "unsupported-keystore")
        return FormatResult("jceks", (locked,), Status.LOCKED, "unsupported-keystore")
    passwords = tuple(_secret(password) for password in request.passwords)
    found: list[Found] = []
    problems: list[str] = []
    try:
        _Store(data, passwords, found).read()
    except _StoreError as error:
        problems.append(str(error))
    result = conclude(NAME, found, problems)
    if result.status is Status.READ and passwords and not _is_intact(data, passwords):
        return FormatResult(NAME, result.found, Status.READ, "integrity-unverified")
    return result


def _secret(password: str) -> bytes:
    return password.encode("utf-16-be", "surrogatepass")


def _is_intact(data: bytes, passwords: tuple[bytes, ...]) -> bool:
    """Tell whether any password makes the store's own digest come out."""
    return any(
        hmac.compare_digest(
            _sha1(password, _WHITENER, data[:-_DIGEST_BYTES]), data[-_DIGEST_BYTES:]
        )
        for password in passwords
    )


def _sha1(*parts: bytes) -> bytes:
    digest = hashlib.sha1()  # noqa: S324 - the hash that the format uses
    for part in parts:
        digest.update(part)
    return digest.digest()


class _StoreError(ValueError):
    """The store breaks off or holds what it can't; `str()` is the stable reason."""


class _Store:
    """Reads one store from front to back into `found`, so that what came before an error stays."""

    def __init__(self, data: bytes, passwords: tuple[bytes, ...], found: list[Found]) -> None:
        self._data = data
        self._passwords = passwords
        self._found = found
        self._position = 4
        self._version = 0

    def read(self) -> None:
        self._version = self._number(4)
        if self._version not in {1, 2}:
            raise _StoreError("unknown-version")
        for _ in range(self._number(4)):
            tag = self._number(4)
            alias = _modified_utf8(self._take(self._number(2)))
            self._take(8)
            if tag == _PRIVATE_KEY:
                self._private_key(alias)
            elif tag == _TRUSTED_CERTIFICATE:
                self._certificate(alias)
            else:
                raise _StoreError("unknown-entry")
        if len(self._data) - self._position != _DIGEST_BYTES:
            raise _StoreError("truncated")

    def _number(self, size: int) -> int:
        return int.from_bytes(self._take(size), "big")

    def _take(self, size: int) -> bytes:
        taken = self._data[self._position : self._position + size]
        if len(taken) != size:
            raise _StoreError("truncated")
        self._position += size
        return taken

    def _certificate(self, alias: bytes) -> None:
        if self._version == 2:
            self._take(self._number(2))
        self._found.append(certificate(self._take(self._number(4)), alias))

    def _private_key(self, alias: bytes) -> None:
        protected = self._take(self._number(4))
        self._found.append(_opened_or_sealed(protected, alias, self._passwords))
        for _ in range(self._number(4)):
            self._certificate(alias)


def _modified_utf8(alias: bytes) -> bytes:
    """Return Java's modified UTF-8 as UTF-8, or as it is where it is none (JVMS, 4.4.7)."""
    try:
        units = alias.replace(b"\xc0\x80", b"\0").decode("utf-8", "surrogatepass")
        return units.encode("utf-16", "surrogatepass").decode("utf-16").encode()
    except UnicodeError:
        return alias


def _opened_or_sealed(protected: bytes, alias: bytes, passwords: tuple[bytes, ...]) -> Found:
    try:
        algorithm, octets = der.expect(
            protected, der.read_whole(protected), der.SEQUENCE, der.OCTET_STRING
        )[:2]
        name = der.expect(protected, algorithm, der.OBJECT_IDENTIFIER)[0]
        known = der.dotted(protected, name) == _KEY_PROTECTOR
        ciphertext = der.content(protected, octets)
    except der.DerError:
        return sealed_key(protected, alias, "malformed-sealed-key")
    if not known:
        return sealed_key(ciphertext, alias, "unknown-encryption")
    for password in passwords:
        plain = _unprotect(ciphertext, password)
        if plain is not None:
            try:
                return read_private_key(plain, alias, encrypted=bool(password))
            except MalformedKeyError as error:
                return sealed_key(ciphertext, alias, str(error))
    return sealed_key(ciphertext, alias)


def _unprotect(ciphertext: bytes, password: bytes) -> bytes | None:
    """Undo KeyProtector: salt, key XOR a chain of SHA-1, SHA-1 over password and key as check."""
    salt, body, check = ciphertext[:20], ciphertext[20:-20], ciphertext[-20:]
    stream = bytearray()
    digest = salt
    while len(stream) < len(body):
        digest = _sha1(password, digest)
        stream += digest
    size = len(body)
    mask = int.from_bytes(stream[:size], "big")
    plain = (int.from_bytes(body, "big") ^ mask).to_bytes(size, "big")
    return plain if hmac.compare_digest(_sha1(password, plain), check) else None
