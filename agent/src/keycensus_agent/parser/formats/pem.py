"""PEM: armoured blocks anywhere in a text file of any name, in whatever text they are wrapped.

Pure, on hostile bytes. A block that is damaged costs itself; text before, between and after, other
labels, and placeholders in documentation are no findings and no errors. Sources: RFC 7468,
RFC 1421, OpenSSL's PEM_read(3); escapes as in JSON, YAML and program strings.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from keycensus_agent.parser import der, findings
from keycensus_agent.parser.findings import (
    Confidence,
    FormatResult,
    Found,
    Hint,
    Request,
    conclude,
)
from keycensus_agent.parser.formats import pkcs7
from keycensus_agent.parser.legacy_pem import read_legacy_key
from keycensus_agent.parser.openssh import read_openssh_key
from keycensus_agent.parser.private_key import MalformedKeyError, read_private_key
from keycensus_agent.parser.public_key import rsa_spki
from keycensus_agent.parser.sealed_key import read_sealed_key
from keycensus_agent.parser.sealing import IterationBudget
from keycensus_agent.parser.triage import holds_marker

NAME = "pem"
DESCRIPTION = "PEM blocks of every kind, anywhere in a text file of any name"
SUFFIXES = ("pem", "crt", "cer", "key", "csr", "crl", "pub", "p7b")

_BYTE_ORDER_MARKS = {b"\xff\xfe", b"\xfe\xff"}
_LINE = re.compile(rb"-----(BEGIN|END) ([A-Z0-9][A-Z0-9 #._/-]{0,63}?)-----")
# Line ends as JSON, YAML and programs write them in strings, however often they were escaped.
_ESCAPED_BREAK = re.compile(rb"\\+(?:[rnt]|u000[aAdD])")
# Two string literals side by side, joined by nothing, "+" or ".", perhaps with a prefix letter.
_JOINT = re.compile(rb"[\"']\s*[+.]?\s*[bru]{0,2}[\"']")
_BLANK = re.compile(rb"\s+")
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/=]")
# What stands for content in documentation and templates.
_PLACEHOLDER = re.compile(rb"\.\.|[<>{}$\[\]%]")
# Shorter than the smallest key or certificate in base64; below it, a broken block is an example.
_CONTENT_BYTES = 64
# Of an unclosed block only the start is looked at, to tell damage from a mention of the label.
_UNCLOSED_BYTES = 4096


def recognise(data: bytes, hint: Hint) -> Confidence:
    """Tell by the marker of a block, in the text's own encoding."""
    del hint
    return Confidence.SURE if holds_marker(data) else Confidence.NO


def parse(data: bytes, request: Request) -> FormatResult:
    """Return what each block holds, in the order of the file."""
    if data[:2] in _BYTE_ORDER_MARKS:
        data = data.decode("utf-16", "replace").encode("ascii", "replace")
    found: list[Found] = []
    problems: list[str] = []
    budget = IterationBudget()
    for block in _blocks(data):
        try:
            found.extend(_read(block, request, budget, problems))
        except (_BlockError, MalformedKeyError) as error:
            if _is_content(block.body):
                problems.append(str(error))
        except der.DerError:
            if _is_content(block.body):
                problems.append("malformed-block")
    return conclude(NAME, found, problems)


class _BlockError(ValueError):
    """The block is damaged; `str()` is the stable reason."""


class _Block(NamedTuple):
    label: bytes
    body: bytes
    reason: str = ""


def _blocks(data: bytes) -> Iterator[_Block]:
    """Yield the blocks with a label that means something here, and what is left of broken ones."""
    opened: re.Match[bytes] | None = None
    for line in _LINE.finditer(data):
        begins = line[1] == b"BEGIN"
        if opened and opened[2] in _READERS:
            body = data[opened.end() : line.start()]
            if begins:
                yield _Block(opened[2], body[:_UNCLOSED_BYTES], "unclosed-block")
            elif line[2] != opened[2]:
                yield _Block(opened[2], body, "mismatched-label")
            else:
                yield _Block(opened[2], body)
        opened = line if begins else None
    if opened and opened[2] in _READERS:
        rest = data[opened.end() : opened.end() + _UNCLOSED_BYTES]
        yield _Block(opened[2], rest, "unclosed-block")


def _is_content(body: bytes) -> bool:
    """Tell a damaged artifact from an example, a template or a mention."""
    text = _BLANK.sub(b"", _unwrapped(body))
    if len(text) < _CONTENT_BYTES or _PLACEHOLDER.search(text):
        return False
    return len(_NOT_BASE64.findall(text)) * 20 <= len(text)


def _unwrapped(body: bytes) -> bytes:
    """Return the body without the escapes and quotes of the string that it stands in."""
    if b"\\" in body:
        body = _ESCAPED_BREAK.sub(b"\n", body).replace(b"\\", b"")
    if b'"' in body or b"'" in body:
        body = _JOINT.sub(b"", body)
    return body


def _split_headers(body: bytes) -> tuple[dict[bytes, bytes], bytes]:
    """Return the headers of RFC 1421, 4.4 and the base64 text below them."""
    headers: dict[bytes, bytes] = {}
    rest = body.lstrip()
    while True:
        line, _, below = rest.partition(b"\n")
        name, colon, value = line.partition(b":")
        if not colon:
            return headers, rest
        headers[name.strip()] = value.strip()
        rest = below


class _Payload(NamedTuple):
    """One block, decoded, with what reading it may need."""

    block: _Block
    data: bytes
    request: Request
    budget: IterationBudget
    problems: list[str]


def _read(
    block: _Block, request: Request, budget: IterationBudget, problems: list[str]
) -> list[Found]:
    """Return the entries of a block. Damage that costs only a part of it goes to `problems`."""
    if block.reason:
        raise _BlockError(block.reason)
    headers, text = _split_headers(_unwrapped(block.body))
    try:
        data = binascii.a2b_base64(text)
    except binascii.Error:
        raise _BlockError("bad-base64") from None
    if b"ENCRYPTED" in headers.get(b"Proc-Type", b"") and block.label in _PLAIN_KEYS:
        return [read_legacy_key(headers.get(b"DEK-Info", b""), data, request.passwords)]
    return _READERS[block.label](_Payload(block, data, request, budget, problems))


def _certificate(payload: _Payload) -> list[Found]:
    if payload.block.label == b"TRUSTED CERTIFICATE":
        # OpenSSL's trust settings follow the certificate.
        first = der.read(payload.data, 0, len(payload.data))
        payload = payload._replace(data=der.encoding(payload.data, first))
    return [_signed(findings.certificate, payload)]


def _csr(payload: _Payload) -> list[Found]:
    return [_signed(findings.request, payload)]


def _revocation_list(payload: _Payload) -> list[Found]:
    return [_signed(findings.revocation_list, payload)]


def _signed(make: Callable[[bytes, bytes], Found], payload: _Payload) -> Found:
    block, data = payload.block, payload.data
    found = make(data, b"" if block.label in _USUAL else block.label)
    if found.entry.reason and (data[:1] != b"\x30" or not _is_content(block.body)):
        raise _BlockError(found.entry.reason)
    return found


def _private_key(payload: _Payload) -> list[Found]:
    return [read_private_key(payload.data)]


def _sealed_key(payload: _Payload) -> list[Found]:
    return [read_sealed_key(payload.data, payload.request.passwords, payload.budget)]


def _openssh_key(payload: _Payload) -> list[Found]:
    return read_openssh_key(payload.data)


def _signed_data(payload: _Payload) -> list[Found]:
    result = pkcs7.parse(payload.data, payload.request)
    if result.reason:
        payload.problems.append(result.reason)
    return list(result.found)


def _public_key(payload: _Payload) -> list[Found]:
    """Read an SPKI or an RSAPublicKey under either label, as some writers mix them up."""
    data = payload.data
    fields = der.children(data, der.read_whole(data))
    tags = tuple(field.tag for field in fields)
    if tags == (der.SEQUENCE, der.BIT_STRING):
        der.expect(data, fields[0], der.OBJECT_IDENTIFIER)
        return [findings.public_key(data)]
    if tags == (der.INTEGER, der.INTEGER):
        return [findings.public_key(rsa_spki(data))]
    raise _BlockError("malformed-public-key")


_PLAIN_KEYS = {
    b"RSA PRIVATE KEY",
    b"EC PRIVATE KEY",
    b"DSA PRIVATE KEY",
    b"PRIVATE KEY",
    b"ANY PRIVATE KEY",
}
_USUAL = {b"CERTIFICATE", b"CERTIFICATE REQUEST", b"X509 CRL"}
_READERS: dict[bytes, Callable[[_Payload], list[Found]]] = {
    b"CERTIFICATE": _certificate,
    b"X509 CERTIFICATE": _certificate,
    b"TRUSTED CERTIFICATE": _certificate,
    b"CERTIFICATE REQUEST": _csr,
    b"NEW CERTIFICATE REQUEST": _csr,
    b"X509 CRL": _revocation_list,
    b"ENCRYPTED PRIVATE KEY": _sealed_key,
    b"OPENSSH PRIVATE KEY": _openssh_key,
    b"PUBLIC KEY": _public_key,
    b"RSA PUBLIC KEY": _public_key,
    b"PKCS7": _signed_data,
    b"PKCS #7 SIGNED DATA": _signed_data,
    b"CMS": _signed_data,
    **dict.fromkeys(_PLAIN_KEYS, _private_key),
}
