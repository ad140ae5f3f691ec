"""PKCS#12: certificates, keys and names, with the passwords at hand or as far as one gets without.

Pure, on hostile bytes. Own reader: what is not encrypted is read without any password, one part that
stays locked does not cost the others, and an odd MAC costs nothing, since trying a password on the
content itself says more than the MAC does; an ordinary one says which password to begin with. Sources: RFC 7292, RFC 2985.
"""

from __future__ import annotations

from keycensus_agent.model import Status
from keycensus_agent.parser import der, findings
from keycensus_agent.parser.cut_ber import CutBer
from keycensus_agent.parser.findings import (
    Confidence,
    FormatResult,
    Found,
    Hint,
    Request,
    conclude,
)
from keycensus_agent.parser.pkcs12_mac import MacAnswer, ask_mac
from keycensus_agent.parser.private_key import MalformedKeyError, read_private_key
from keycensus_agent.parser.sealed_key import read_sealed_key
from keycensus_agent.parser.sealing import (
    Candidates,
    IterationBudget,
    LimitError,
    UnknownSchemeError,
    open_sealed,
)

NAME = "pkcs12"
DESCRIPTION = "PKCS#12: certificates and keys with their names, without, or with its password"
SUFFIXES = ("p12", "pfx", "pkcs12", "jks", "keystore", "truststore")

# Those that nothing else is called by.
_OWN_SUFFIXES = {b"p12", b"pfx", b"pkcs12"}
_VERSION = b"\x02\x01\x03"
_DATA = "1.2.840.113549.1.7.1"
_SIGNED_DATA = "1.2.840.113549.1.7.2"
_ENCRYPTED_DATA = "1.2.840.113549.1.7.6"
_ENVELOPED_DATA = "1.2.840.113549.1.7.3"
_EXPLICIT = 0xA0
_BMP_STRING = 0x1E
# Bag types (RFC 7292, 4.2).
_KEY_BAG = "1.2.840.113549.1.12.10.1.1"
_SHROUDED_KEY_BAG = "1.2.840.113549.1.12.10.1.2"
_CERTIFICATE_BAG = "1.2.840.113549.1.12.10.1.3"
_CRL_BAG = "1.2.840.113549.1.12.10.1.4"
_SAFE_CONTENTS_BAG = "1.2.840.113549.1.12.10.1.6"
_X509_CERTIFICATE = "1.2.840.113549.1.9.22.1"
_X509_CRL = "1.2.840.113549.1.9.23.1"
_FRIENDLY_NAME = "1.2.840.113549.1.9.20"
# Safe contents inside safe contents: real files have one level.
_NESTING_LIMIT = 4


def recognise(data: bytes, hint: Hint) -> Confidence:
    """Tell by a PFX of version 3 followed by a ContentInfo; one that is damaged there by its name."""
    if data[:1] != b"\x30" or len(data) < 2:
        return Confidence.NO
    body = 2 + (data[1] & 0x7F if data[1] > 0x80 else 0)
    if data[body : body + 3] == _VERSION and data[body + 3 : body + 4] == b"\x30":
        return Confidence.SURE
    return Confidence.MAYBE if hint.suffix in _OWN_SUFFIXES else Confidence.NO


def parse(data: bytes, request: Request) -> FormatResult:
    """Return certificates, CRLs and keys, each with its friendly name as member, and what is locked."""
    store = _Store(request)
    try:
        store.read(data)
    except der.DerError:
        store.problems.append("malformed-pkcs12")
    if store.ber.cut:
        store.problems.insert(0, "truncated")
    if store.locked:
        sealed = findings.sealed_container(b"".join(store.locked), store.lock_reason)
        store.found.append(sealed)
    if store.locked and not store.problems:
        return FormatResult(NAME, tuple(store.found), Status.LOCKED, store.lock_reason)
    return conclude(NAME, store.found, store.problems)


class _Store:
    """Collects what one file holds; nothing of it is lost when a later part breaks."""

    def __init__(self, request: Request) -> None:
        self.found: list[Found] = []
        self.problems: list[str] = []
        self.locked: list[bytes] = []
        self.lock_reason = ""
        self.ber = CutBer()
        # One password seals all of a file: every writer has it so, and every reader takes only one.
        self._passwords = Candidates(request.passwords, parts_in_vain=1)
        self._budget = IterationBudget()

    def read(self, data: bytes) -> None:
        """Read a PFX (RFC 7292, 4): its integrity is by password (data) or by key (signed data)."""
        parts = self.ber.children(data, self.ber.read(data, 0, len(data)))
        next(parts, None)  # the version
        kind, content = self._content_info(data, next(parts, None))
        if kind == _DATA:
            safes = self.ber.octets(content, self.ber.read(content, 0, len(content)))
            mac_data = next(parts, None)
            if mac_data is not None and not self.ber.cut:
                self._ask(ask_mac(data, mac_data, safes, self._passwords))
            self._safes(safes)
        elif kind == _SIGNED_DATA:
            self._signed(content)
        else:
            self.problems.append("unsupported-integrity")

    def _ask(self, answer: MacAnswer) -> None:
        """Begin with the password that the MAC was made with; if there is none, the empty one opens nothing either.

        The others are tried all the same: the parts may have another than the MAC (`openssl pkcs12 -twopass`).
        """
        if answer.verified:
            self._passwords.opened_by(answer.password)
        elif answer.known:
            self._passwords.not_empty()

    def _signed(self, content: bytes) -> None:
        """Read SignedData (RFC 5652, 5.1): what is signed, and the signer's certificates."""
        fields = list(self.ber.children(content, self.ber.read(content, 0, len(content))))
        kind, signed = self._content_info(content, fields[2] if len(fields) > 2 else None)
        if kind != _DATA:
            raise der.DerError("no safes")
        self._safes(self.ber.octets(signed, self.ber.read(signed, 0, len(signed))))
        for field in fields[3:]:
            if field.tag == _EXPLICIT:
                for item in der.children(content, field):
                    if item.tag == der.SEQUENCE:
                        self.found.append(findings.certificate(der.encoding(content, item)))

    def _safes(self, safes: bytes) -> None:
        for safe in self.ber.children(safes, self.ber.read(safes, 0, len(safes))):
            try:
                self._safe(*self._content_info(safes, safe))
            except der.DerError:
                self.problems.append("malformed-pkcs12")

    def _content_info(self, data: bytes, element: der.Element | None) -> tuple[str, bytes]:
        """Return type and content of a ContentInfo (RFC 5652, 3)."""
        fields = self._typed_fields(data, element)
        return der.dotted(data, fields[0]), der.content(data, fields[1])

    def _typed_fields(self, data: bytes, element: der.Element | None) -> list[der.Element]:
        """Return what is in something whose first two fields are a type and a value of it."""
        fields = list(self.ber.children(data, element)) if element else []
        if len(fields) < 2 or fields[1].tag != _EXPLICIT:
            raise der.DerError("no value")
        return fields

    def _safe(self, kind: str, content: bytes) -> None:
        if kind == _DATA:
            inner = self.ber.read(content, 0, len(content))
            self._bags(self.ber.octets(content, inner), 0)
        elif kind == _ENCRYPTED_DATA:
            self._encrypted(content, der.read(content, 0, len(content)))
        elif kind == _ENVELOPED_DATA:
            der.read(content, 0, len(content))
            self._lock(content, "certificate-needed")
        else:
            self.problems.append("unknown-content")

    def _lock(self, ciphertext: bytes, reason: str) -> None:
        self.locked.append(ciphertext)
        self.lock_reason = self.lock_reason or reason

    def _encrypted(self, data: bytes, encrypted_data: der.Element) -> None:
        """Open EncryptedData (RFC 5652, 8) with the first password that fits, or note the lock."""
        info = der.expect(data, encrypted_data, der.INTEGER, der.SEQUENCE)[1]
        fields = der.expect(data, info, der.OBJECT_IDENTIFIER, der.SEQUENCE)
        if len(fields) < 3:
            raise der.DerError("no encrypted content")
        algorithm, ciphertext = der.encoding(data, fields[1]), der.octets(data, fields[2])
        try:
            opened = open_sealed(algorithm, ciphertext, self._passwords, self._budget, _is_sequence)
        except LimitError as error:
            self._lock(ciphertext, str(error))
        except UnknownSchemeError:
            self._lock(ciphertext, "unknown-encryption")
        else:
            if opened:
                self._bags(opened.plain, 0)
            else:
                self._lock(ciphertext, "password-needed")

    def _bags(self, data: bytes, depth: int) -> None:
        for bag in self.ber.children(data, self.ber.read(data, 0, len(data))):
            try:
                # A bag may be cut behind its value, which itself must be whole.
                fields = self._typed_fields(data, bag)
                value = der.read(data, fields[1].body, fields[1].body_end)
                name = _friendly_name(data, fields[2]) if len(fields) > 2 else b""
                self._bag(der.dotted(data, fields[0]), der.encoding(data, value), name, depth)
            except MalformedKeyError as error:
                self.problems.append(str(error))
            except der.DerError:
                self.problems.append("malformed-pkcs12")

    def _bag(self, kind: str, value: bytes, name: bytes, depth: int) -> None:
        if kind == _CERTIFICATE_BAG:
            self._typed(value, _X509_CERTIFICATE, name)
        elif kind == _CRL_BAG:
            self._typed(value, _X509_CRL, name)
        elif kind == _KEY_BAG:
            self.found.append(read_private_key(value, name))
        elif kind == _SHROUDED_KEY_BAG:
            self.found.append(read_sealed_key(value, self._passwords, self._budget, name))
        elif kind == _SAFE_CONTENTS_BAG:
            if depth >= _NESTING_LIMIT:
                raise der.DerError("too deep")
            self._bags(value, depth + 1)
        # A secret bag holds passwords or symmetric keys: none of ours.

    def _typed(self, value: bytes, wanted: str, name: bytes) -> None:
        """Read a CertBag or CRLBag: its type and, in an OCTET STRING, the DER."""
        fields = der.expect(value, der.read_whole(value), der.OBJECT_IDENTIFIER, _EXPLICIT)
        if der.dotted(value, fields[0]) != wanted:
            return
        octets = der.octets(value, der.read(value, fields[1].body, fields[1].body_end))
        make = findings.certificate if wanted == _X509_CERTIFICATE else findings.revocation_list
        self.found.append(make(octets, name))


def _is_sequence(plain: bytes) -> bool:
    try:
        der.children(plain, der.read(plain, 0, len(plain)))
    except der.DerError:
        return False
    return plain[0] == der.SEQUENCE


def _friendly_name(data: bytes, attributes: der.Element) -> bytes:
    """Return the friendlyName (RFC 2985, 5.5.1) as UTF-8; empty if there is none."""
    try:
        for attribute in der.children(data, attributes):
            kind, values = der.expect(data, attribute, der.OBJECT_IDENTIFIER, der.SET)[:2]
            if der.dotted(data, kind) == _FRIENDLY_NAME:
                value = der.children(data, values)[0]
                encoding = "utf-16-be" if value.tag == _BMP_STRING else "utf-8"
                text = der.content(data, value).decode(encoding, "replace")
                return text.rstrip("\0").encode("utf-8", "replace")
    except (der.DerError, IndexError):
        pass
    return b""
