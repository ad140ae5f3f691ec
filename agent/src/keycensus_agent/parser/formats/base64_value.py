"""Base64 without armour in the values of a text: of DER, of PEM, of a Java keystore.

Pure, on hostile bytes. Kubernetes' Secrets and kubeconfigs, `x5c` of JWKs, SAML metadata, LDIF, properties
and environments hold certificates and keys so. Nothing says what a value is, so only what passes as a
whole is taken: a value that is cut, or whose numbers contradict each other, is none of ours. Sources: RFC
4648, RFC 7517 4.7, RFC 2849, the Kubernetes API (Secret, v1.Config).
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterator
from dataclasses import replace

from keycensus_agent.model import EntryKind, Status
from keycensus_agent.parser import der
from keycensus_agent.parser.findings import (
    Confidence,
    FormatResult,
    Found,
    Hint,
    Passage,
    Request,
)
from keycensus_agent.parser.formats import der_file, jks, pem, pkcs7, pkcs12
from keycensus_agent.parser.passages import without
from keycensus_agent.parser.starts import Start, Starts

NAME = "base64"
DESCRIPTION = "base64 of DER, PEM or a Java keystore in values: Kubernetes, JWK x5c, SAML, LDIF"
SUFFIXES = ("yaml", "yml", "json", "xml", "ldif", "properties", "env", "b64")

# How DER of ours starts in base64: any SEQUENCE of 256 bytes or more, or of indefinite length; shorter
# ones that go on as PKCS#8, SEC 1, encrypted PKCS#8 and certificates of version 3 do. Then PEM, JKS, JCEKS, and "apiVersion: ".
_STARTS = (
    Start(
        re.compile(
            rb"MI(?:[AIJKLM][A-Za-z0-9+/]{13}"
            rb"|[GH][A-Za-z0-9+/](?:AgE[AB]|M[A-P][A-Za-z0-9+/]GC[Si]qG)[A-Za-z0-9+/]{4}"
            rb"|[GH][A-Za-z0-9+/]MI[GH][A-Za-z0-9+/]oAMCAQI[A-Za-z0-9+/])"
        )
    ),
    Start(
        re.compile(rb"CAQ(?:Aw|EE|Ew)"),
        re.compile(rb"M[A-H][A-Za-z0-9+/]CAQ(?:Aw|EE|Ew)[A-Za-z0-9+/]{8}"),
        back=3,
    ),
    Start(re.compile(rb"LS0tLS1CRUdJ")),
    Start(re.compile(rb"/u3\+7QAA")),
    Start(re.compile(rb"zs7OzgAA")),
    Start(re.compile(rb"YXBpVmVyc2lvbjog")),
)
# Of certificates and keys, PKCS#7, and answers of OCSP, as XML signatures carry them.
_INNER_TAGS = (der.SEQUENCE, der.INTEGER, der.OBJECT_IDENTIFIER, der.ENUMERATED)
_DER, _STORES_START = b"M", (b"/", b"z")
_TOKEN = re.compile(rb"[A-Za-z0-9+/]*={0,2}")
# Two string literals of a program side by side; a comma between them parts two values.
_JOINT = re.compile(rb"[\"'`][\s+.]*[\"'`]")
_WRAPPED = re.compile(rb"(?:[A-Za-z0-9+/\s]|\\[rnt]?|%b)*={0,2}" % _JOINT.pattern)
# What may stand between two lines of one value: line ends, escaped or not, with the margin of a string in
# Kotlin, and the joint of two strings.
_GLUE = re.compile(
    rb"\\+(?:[rnt]|u000[aAdD])|&#(?:10|13|[xX]0?[aAdD]);|[\"'`][\s+.,\\]*[\"'`]|[\s\\]+\|?"
)
_WHOLE = re.compile(rb"[A-Za-z0-9+/]+\Z")
# The key or the element that a value stands behind.
_NAME = re.compile(
    rb"(?:([A-Za-z0-9_.-]{1,64}(?:;binary)?)\\?[\"']?\s*::?[\[|>\s]*"
    rb"|([A-Za-z0-9_.-]{1,64})[ \t]*=[ \t]*(?:\\\r?\n[ \t]*)?"
    rb"|<([A-Za-z0-9_:.-]{1,64})[^<>]{0,64}>\s*)\\?[\"']?\Z"
)
_ALPHABET = frozenset(bytes([octet]) for octet in range(256) if _WHOLE.match(bytes([octet])))
_ESCAPES = {b"\\n", b"\\r", b"\\t"}
_NAME_BYTES = 160
# Length of a line of base64 as tools wrap it.
_LINE_BYTES = range(60, 81)
# How LDIF goes on with a line (RFC 2849, note 2): its first line is shorter by the attribute's name.
_FOLDED = re.compile(rb"[A-Za-z0-9+/]+(?:\r?\n [A-Za-z0-9+/]+)+={0,2}")
# Bytes that may be taken out of one text to look at them, besides three times its own: hostile texts
# have starts that overlap.
_WORK = 8 * 1024 * 1024
# Keystores that are opened in one text: each may cost as much as a file's iterations.
_STORES = 8
# Kubeconfigs are themselves values of Secrets.
_DEPTH = 2

_Parse = Callable[[bytes, Request], FormatResult]
_TAKEN = {
    EntryKind.CERTIFICATE,
    EntryKind.PRIVATE_KEY,
    EntryKind.SEALED_KEY,
    EntryKind.OPAQUE_KEY,
    EntryKind.CSR,
    EntryKind.CRL,
}


def find(text: bytes, request: Request) -> Iterator[Passage]:
    """Yield what each value holds; PEM and keystores in base64 may also be damaged or locked."""
    return _Values(Request(Hint(), request.passwords), _WORK + 3 * len(text)).find(text, 0)


class _Values:
    """Reads the values of one text, within limits that hold for all of them together."""

    def __init__(self, request: Request, work: int) -> None:
        self._request = request
        self._work = work
        self._stores = _STORES

    def find(self, text: bytes, depth: int) -> Iterator[Passage]:
        position, starts = 0, Starts(_STARTS, text)
        while start := starts.after(position):
            position = start.end()
            end, data = self._value(text, start) if _begins(text, start.start()) else (0, b"")
            passage = self._read(start, end, data, depth) if data else None
            if self._work < 0 or self._stores < 0:
                yield Passage(start.start(), start.end(), (), "limit-values")
                return
            if passage is None:
                continue
            name = _NAME.search(text[max(0, start.start() - _NAME_BYTES) : start.start()])
            found = _named(passage.found, name[name.lastindex or 0] if name else b"")
            yield passage._replace(found=found)
            position = end

    def _value(self, text: bytes, start: re.Match[bytes]) -> tuple[int, bytes]:
        """Return where the value ends and its bytes; none if it is no whole value."""
        at = start.start()
        if text[at : at + 1] != _DER:
            end = _end_of(text, at)
            self._work -= end - at
            return end, _decoded(_GLUE.sub(b"", text[at:end]))
        needed = _length_of(start[0])
        if not needed:
            return at, b""
        if needed < 0:  # of indefinite length
            end = _end_of(text, at)
            self._work -= end - at
            return end, _decoded(_GLUE.sub(b"", text[at:end]))
        end = at + needed
        if end > len(text):
            return end, b""
        self._work -= needed
        value = text[at:end]
        if not _WHOLE.match(value):
            # Wrapped: line ends, their indentation and quotes at most double it.
            self._work -= needed
            value = _GLUE.sub(b"", text[at : at + 2 * needed + 64])[:needed]
            end = _end_of_wrapped(text, at, needed)
            if len(value) < needed or not _WHOLE.match(value):
                return end, b""
        return end, _decoded(value)

    def _read(self, start: re.Match[bytes], end: int, data: bytes, depth: int) -> Passage | None:
        """Return what a value's bytes hold; None if they are none of ours."""
        if start[0].startswith(_DER):
            result = self._der(data)
        elif start[0].startswith(_STORES_START):
            result = self._store(jks.parse, data)
        else:
            passages = list(pem.find(data, self._request))
            if depth < _DEPTH:
                passages += self.find(without(data, passages), depth + 1)
            passages.sort(key=lambda passage: passage.start)
            found = tuple(item for passage in passages for item in passage.found)
            reasons = [passage.reason for passage in passages if passage.reason]
            result = FormatResult(NAME, found, reason=reasons[0] if reasons else "")
        if not result.found and not result.reason:
            return None
        reason = "" if result.status is Status.LOCKED else result.reason
        return Passage(start.start(), end, result.found, reason)

    def _der(self, data: bytes) -> FormatResult:
        """Read DER strictly: an entry that can't be understood is no entry here."""
        nothing = FormatResult(NAME)
        if pkcs12.recognise(data, Hint()) is Confidence.SURE:
            result = self._store(pkcs12.parse, data)
            return result if result.found else nothing
        if pkcs7.recognise(data, Hint()) is Confidence.SURE:
            result = pkcs7.parse(data, self._request)
        else:
            result = der_file.parse(data, self._request)
        if result.status is not Status.READ or not all(map(_is_whole, result.found)):
            return nothing
        return result

    def _store(self, parse: _Parse, data: bytes) -> FormatResult:
        self._stores -= 1
        return FormatResult(NAME) if self._stores < 0 else parse(data, self._request)


def _begins(text: bytes, start: int) -> bool:
    """Tell a value's beginning from the middle of one; the letter of an escape is no part of it."""
    before = text[max(0, start - 2) : start]
    return before[-1:] not in _ALPHABET or before in _ESCAPES


def _is_whole(item: Found) -> bool:
    """Tell whether an entry is one that can be told from chance, and nothing in it is broken."""
    entry = item.entry
    if entry.kind is EntryKind.SEALED_KEY:
        return entry.reason in {"password-needed", "limit-iterations", "limit-memory"}
    if entry.kind is EntryKind.OPAQUE_KEY:
        return entry.reason != "unknown-algorithm"
    return entry.kind in _TAKEN and not entry.reason


def _named(found: tuple[Found, ...], name: bytes) -> tuple[Found, ...]:
    """Give the entries without a name of their own that of the value."""
    if not name:
        return found
    return tuple(
        item if item.entry.member else replace(item, entry=replace(item.entry, member=name))
        for item in found
    )


def _length_of(start: bytes) -> int:
    """Return how many characters of base64 the SEQUENCE takes that starts so.

    0 if nothing of ours has such a beginning, -1 if its length is indefinite.
    """
    head = binascii.a2b_base64(start[:12])
    length, body = head[1], 2
    if length > 0x80:
        body += length & 0x7F
        length = int.from_bytes(head[2:body], "big")
    if head[body] not in _INNER_TAGS:
        return 0
    if head[1] == 0x80:
        return -1
    return ((body + length) * 8 + 5) // 6


def _end_of(text: bytes, start: int) -> int:
    """Return where the base64 ends that starts there: its line, or the lines that it is wrapped into."""
    token = _TOKEN.match(text, start)
    end = token.end() if token else start
    line = text.rfind(b"\n", max(0, start - _NAME_BYTES), start) + 1
    if end - line in _LINE_BYTES and (folded := _FOLDED.match(text, start)):
        return folded.end()
    goes_on = end - start in _LINE_BYTES or text[end : end + 1] == b"\\"
    if not goes_on and not _JOINT.match(text, end):
        return end
    wrapped = _WRAPPED.match(text, start)
    return wrapped.end() if wrapped else end


def _end_of_wrapped(text: bytes, start: int, needed: int) -> int:
    """Return where a wrapped value of so many characters ends, counting only those."""
    end = start
    while needed > 0:
        token = _TOKEN.match(text, end, min(len(text), end + needed))
        size = len(token[0].rstrip(b"=")) if token else 0
        if size:
            end, needed = end + size, needed - size
            continue
        glue = _GLUE.match(text, end)
        if not glue:
            break
        end = glue.end()
    return end


def _decoded(value: bytes) -> bytes:
    value = value.rstrip(b"=")
    if len(value) % 4 == 1:  # a letter of what follows
        value = value[:-1]
    return binascii.a2b_base64(value + b"=" * (-len(value) % 4))
