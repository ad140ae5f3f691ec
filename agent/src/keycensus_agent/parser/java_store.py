"""What Java's two old keystores share: the layout of entries, and the digest over the whole.

Parser side: pure, on hostile bytes and passwords. A store is a magic number, version, count, entries
(tag, alias, date, content), and SHA-1 over password, a phrase, and all before. Sources:
JavaKeyStore.java and JceKeyStore.java of OpenJDK, JVMS 4.4.7.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable

from keycensus_agent.model import Status
from keycensus_agent.parser import der, java_serialization
from keycensus_agent.parser.cursor import Cursor, CutError
from keycensus_agent.parser.findings import (
    FormatResult,
    Found,
    certificate,
    conclude,
)
from keycensus_agent.parser.rescue import rescued_certificates

_PRIVATE_KEY, _TRUSTED_CERTIFICATE, _SECRET_KEY = 1, 2, 3
_DIGEST_BYTES = 20
_PHRASE = b"Mighty Aphrodite"

OpenKey = Callable[[bytes, bytes], Found]
"""From a key's protected bytes and its alias to its entry."""


def utf_16(password: str) -> bytes:
    """Return a password as the digests of these stores take it."""
    return password.encode("utf-16-be", "surrogatepass")


def sha1(*parts: bytes) -> bytes:
    """Return the digest of the parts joined."""
    digest = hashlib.sha1()  # noqa: S324 - the hash that the format uses
    for part in parts:
        digest.update(part)
    return digest.digest()


def read_java_store(
    name: str, data: bytes, passwords: tuple[str, ...], open_key: OpenKey
) -> FormatResult:
    """Return trusted certificates, chains, and each private key as `open_key` says.

    Secret keys are passed over. If passwords were given and none makes the digest come out, the reason
    says so; the status does not, since nothing that was found depends on it.
    """
    found: list[Found] = []
    problems: list[str] = []
    store = Cursor(data, 4)
    try:
        _read(store, found, open_key)
    except CutError as error:
        problems.append(str(error))
        found.extend(rescued_certificates(data, store.sound))
    result = conclude(name, found, problems)
    if result.status is Status.READ and passwords and not _is_intact(data, passwords):
        return FormatResult(name, result.found, Status.READ, "integrity-unverified")
    return result


def _is_intact(data: bytes, passwords: tuple[str, ...]) -> bool:
    body, digest = data[:-_DIGEST_BYTES], data[-_DIGEST_BYTES:]
    return any(
        hmac.compare_digest(sha1(utf_16(password), _PHRASE, body), digest) for password in passwords
    )


def _read(store: Cursor, found: list[Found], open_key: OpenKey) -> None:
    """Read one store into `found`, so that what came before an error stays."""
    version = store.number(4)
    if version not in {1, 2}:
        raise CutError("unknown-version")
    for _ in range(store.number(4)):
        tag = store.number(4)
        alias = modified_utf8(store.counted(2))
        store.take(8)
        if tag == _PRIVATE_KEY:
            found.append(open_key(store.counted(4), alias))
            found.extend(_certificate(store, version, alias) for _ in range(store.number(4)))
        elif tag == _TRUSTED_CERTIFICATE:
            found.append(_certificate(store, version, alias))
        elif tag == _SECRET_KEY:
            store.position = java_serialization.skip(store.data, store.position)
            store.vouch()
        else:
            raise CutError("unknown-entry")
    if store.left != _DIGEST_BYTES:
        raise CutError("truncated")


def _certificate(store: Cursor, version: int, alias: bytes) -> Found:
    if version == 2:
        store.counted(2)
    return certificate_of(store, alias)


def certificate_of(store: Cursor, alias: bytes) -> Found:
    """Read a certificate with its length; CutError if that can't be right.

    It may be as odd as it likes, but it is one SEQUENCE as long as it is said to be.
    """
    data = store.counted(4)
    try:
        der.read_whole(data)
    except der.DerError:
        raise CutError("malformed-certificate") from None
    store.vouch()
    return certificate(data, alias)


def modified_utf8(alias: bytes) -> bytes:
    """Return Java's modified UTF-8 as UTF-8, or as it is where it is none (JVMS, 4.4.7)."""
    try:
        units = alias.replace(b"\xc0\x80", b"\0").decode("utf-8", "surrogatepass")
        return units.encode("utf-16", "surrogatepass").decode("utf-16").encode()
    except UnicodeError:
        return alias
