"""Bouncy Castle's keystore (BKS): certificates and aliases in the clear, private keys mostly sealed.

Pure, on hostile bytes. A store is version, salt, iterations, entries (type, alias, date, chain, content)
up to a type of zero, and HMAC-SHA-1 over the entries. Versions 0 to 2; Android's stores before version
4 and those of many Java programs are such. A key that stands in the clear is found without a password.
Source: BcKeyStoreSpi.java of Bouncy Castle.
"""

from __future__ import annotations

import hashlib
import hmac

from keycensus_agent.model import Status
from keycensus_agent.parser.cursor import Cursor, CutError
from keycensus_agent.parser.derivation import Pkcs12Derivation
from keycensus_agent.parser.findings import (
    Confidence,
    FormatResult,
    Found,
    Hint,
    Request,
    conclude,
    public_key,
    sealed_key,
)
from keycensus_agent.parser.java_store import certificate_of, modified_utf8
from keycensus_agent.parser.private_key import MalformedKeyError, read_private_key
from keycensus_agent.parser.rescue import rescued_certificates
from keycensus_agent.parser.sealed_key import read_sealed_key
from keycensus_agent.parser.sealing import (
    IterationBudget,
    LimitError,
    open_sealed,
    triple_des_algorithm,
)

NAME = "bks"
DESCRIPTION = "Bouncy Castle's BKS keystore: certificates and aliases without its password"
SUFFIXES = ("bks", "keystore", "truststore")

_END, _CERTIFICATE, _KEY, _SECRET, _SEALED = range(5)
_PRIVATE, _PUBLIC, _SYMMETRIC = range(3)
_MAC_BYTES = 20
# Bouncy Castle writes 20 bytes of salt and 1,024 to 2,047 iterations; others may have been freer.
_SALT_BYTES = range(8, 65)
_ITERATIONS = range(1, 1 << 24)
_ALIAS_BYTES = 1024
# How an entry's date starts, in milliseconds since 1970: that is up to the year 10,889.
_DATE_HEAD = b"\0\0"


def recognise(data: bytes, hint: Hint) -> Confidence:
    """Tell by a header whose numbers can be true, and a first entry (or an end) that can be one."""
    del hint
    store = Cursor(data)
    try:
        if not _header(store):
            return Confidence.NO
        kind = store.number(1)
        if kind == _END:
            return Confidence.SURE if store.left == _MAC_BYTES else Confidence.NO
        alias = store.counted(2)
        plausible = kind <= _SEALED and len(alias) <= _ALIAS_BYTES
        dated = store.take(8).startswith(_DATE_HEAD)
    except CutError:
        return Confidence.NO
    return Confidence.SURE if plausible and dated else Confidence.NO


def _header(store: Cursor) -> tuple[int, bytes, int] | None:
    """Read version, salt and iterations; None if they can't be those of a store."""
    version, salt_bytes = store.number(4), store.number(4)
    if version > 2 or salt_bytes not in _SALT_BYTES:
        return None
    salt, iterations = store.take(salt_bytes), store.number(4)
    return (version, salt, iterations) if iterations in _ITERATIONS else None


def parse(data: bytes, request: Request) -> FormatResult:
    """Return each entry's key, as opened or sealed, and its certificates, with the alias as member."""
    store = Cursor(data)
    header = _header(store)
    if header is None:
        return FormatResult(NAME)
    entries = _Entries(store, request.passwords)
    problems = entries.problems
    start = store.position
    try:
        entries.read()
    except CutError as error:
        problems.append(str(error))
        entries.found.extend(rescued_certificates(data, store.sound))
    else:
        if store.left != _MAC_BYTES:
            problems.append("truncated")
    result = conclude(NAME, entries.found, problems)
    if result.status is Status.READ and request.passwords:
        body, mac = data[start : store.position], data[store.position :]
        if not _is_intact(header, body, mac, request.passwords):
            return FormatResult(NAME, result.found, Status.READ, "integrity-unverified")
    return result


def _is_intact(
    header: tuple[int, bytes, int], body: bytes, mac: bytes, passwords: tuple[str, ...]
) -> bool:
    version, salt, iterations = header
    # The first versions took a number of bytes for one of bits (CVE-2018-5382).
    key_bytes = 20 if version == 2 else 2
    budget = IterationBudget()
    for password in passwords:
        secret = password.encode("utf-16-be", "surrogatepass") + b"\0\0"
        try:
            key = Pkcs12Derivation(secret, salt, iterations, budget)(3, key_bytes)
        except LimitError:
            return False
        if hmac.compare_digest(hmac.digest(key, body, hashlib.sha1), mac):
            return True
    return False


class _Entries:
    """Reads the entries of one store; what came before an error stays in `found`."""

    def __init__(self, store: Cursor, passwords: tuple[str, ...]) -> None:
        self.found: list[Found] = []
        self.problems: list[str] = []
        self._store = store
        self._passwords = passwords
        self._budget = IterationBudget()

    def read(self) -> None:
        while kind := self._store.number(1):
            alias = modified_utf8(self._store.counted(2))
            self._store.take(8)
            before = len(self.found)
            chain_length = self._store.number(4)
            for _ in range(chain_length):
                self.found.append(self._certificate(alias))
            try:
                key = self._content(kind, alias, has_chain=chain_length > 0)
            except MalformedKeyError as error:
                self.problems.append(str(error))
                continue
            if key is not None:
                self.found.insert(before, key)

    def _content(self, kind: int, alias: bytes, *, has_chain: bool) -> Found | None:
        if kind == _CERTIFICATE:
            return self._certificate(alias)
        if kind == _KEY:
            return _encoded_key(self._store, alias, encrypted=False)
        if kind not in {_SECRET, _SEALED}:
            raise CutError("unknown-entry")
        protected = self._store.counted(4)
        if not has_chain:
            # A private key can't be put in without one: this is a secret key.
            return None
        if kind == _SEALED:
            return self._sealed(protected, alias)
        try:
            return read_sealed_key(protected, self._passwords, self._budget, alias)
        except MalformedKeyError:
            return sealed_key(protected, alias, "unknown-encryption")

    def _certificate(self, alias: bytes) -> Found:
        self._store.counted(2)
        return certificate_of(self._store, alias)

    def _sealed(self, protected: bytes, alias: bytes) -> Found | None:
        """Open PKCS#12's Triple-DES: salt, iterations, and an encoded key under it."""
        inner = Cursor(protected)
        try:
            salt, iterations = inner.counted(4), inner.number(4)
        except CutError:
            return sealed_key(protected, alias, "malformed-sealed-key")
        ciphertext = inner.take(inner.left)
        try:
            algorithm = triple_des_algorithm(salt, iterations)
            opened = open_sealed(
                algorithm, ciphertext, self._passwords, self._budget, _is_encoded_key
            )
            if opened is None:
                return sealed_key(ciphertext, alias)
            return _encoded_key(Cursor(opened.plain), alias, encrypted=opened.protected)
        except (LimitError, MalformedKeyError) as error:
            return sealed_key(ciphertext, alias, str(error))


def _is_encoded_key(plain: bytes) -> bool:
    key = Cursor(plain)
    try:
        kind = key.number(1)
        key.counted(2)
        key.counted(2)
        key.counted(4)
    except CutError:
        return False
    return kind <= _SYMMETRIC and not key.left


def _encoded_key(key: Cursor, alias: bytes, *, encrypted: bool) -> Found | None:
    """Read a key: its kind, encoding ("PKCS#8"), algorithm, and bytes."""
    kind = key.number(1)
    key.counted(2)
    key.counted(2)
    data = key.counted(4)
    if kind == _PRIVATE:
        return read_private_key(data, alias, encrypted=encrypted)
    return public_key(data, alias) if kind == _PUBLIC else None
