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

from keycensus_agent.model import Status
from keycensus_agent.parser import der, findings, nebula
from keycensus_agent.parser.findings import Confidence, FormatResult, Found, Hint, Passage, Request
from keycensus_agent.parser.formats import pkcs7, pkcs12
from keycensus_agent.parser.legacy_pem import read_legacy_key
from keycensus_agent.parser.openpgp import read_secret_keys
from keycensus_agent.parser.openssh import read_openssh_key
from keycensus_agent.parser.private_key import MalformedKeyError, read_private_key
from keycensus_agent.parser.public_key import dsa_spki, rsa_spki
from keycensus_agent.parser.sealed_key import read_sealed_key
from keycensus_agent.parser.sealing import IterationBudget
from keycensus_agent.parser.tpm import read_tpm_key
from keycensus_agent.parser.x509 import certificate_fields, request_fields

NAME = "pem"
DESCRIPTION = "PEM blocks of every kind, anywhere in a text file of any name"
SUFFIXES = ("pem", "crt", "cer", "key", "csr", "crl", "pub", "p7b")

_LINE = re.compile(rb"-----(BEGIN|END) ([A-Z0-9][A-Z0-9 #._/-]{0,63}?)-----")
# Line ends as JSON, YAML and programs write them in strings, however often they were escaped.
_ESCAPED_BREAK = re.compile(rb"\\+(?:[rnt]|u000[aAdD])|&#(?:10|13|[xX]0?[aAdD]);|`[rn]")
# Two string literals side by side, joined by nothing, "+" or ".", perhaps with a prefix letter.
_JOINT = re.compile(rb"[\"'`]\s*[+.]?\s*[bru]{0,2}[\"'`]")
# The headers of a key encrypted by them (RFC 1421, 4.6.1), also where line ends became blanks, and with
# headers of others before and between them.
_OTHER_HEADERS = rb"(?:\s*[A-Za-z][A-Za-z0-9-]*:[^\r\n]*[\r\n])*?"
_LEGACY_HEADERS = re.compile(
    rb"%(others)b\s*Proc-Type:\s*4,\s*ENCRYPTED"
    rb"(?:\s(?:%(others)b)\s*DEK-Info:[ \t]*([A-Za-z0-9-]+,[ \t]*[0-9A-Fa-f]*))?"
    % {b"others": _OTHER_HEADERS}
)
_BLANK = re.compile(rb"\s+")
# OpenPGP's armour ends with a checksum (RFC 9580, 6.1).
_OPENPGP = b"PGP PRIVATE KEY BLOCK"
_CHECKSUM = re.compile(rb"\s=[A-Za-z0-9+/]{4}\s*\Z")
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/=]")
# What stands for content in documentation and templates.
_PLACEHOLDER = re.compile(rb"\.\.|[<>{}$\[\]%]|X{32}|x{32}")
# Shorter than the smallest key or certificate in base64; below it, a broken block is an example.
_CONTENT_BYTES = 64
# The longest thing that may stand before each line of a block: a quote's or a comment's mark.
_PREFIX_BYTES = 16
# Of an unclosed block only the start is looked at, to tell damage from a mention of the label.
_UNCLOSED_BYTES = 4096


def find(text: bytes, request: Request) -> Iterator[Passage]:
    """Yield what each block holds, in the order of the text; a damaged one costs itself."""
    budget = IterationBudget()
    for block in _blocks(text):
        if block.label in _PASSED_OVER:
            yield Passage(block.start, block.end)
            continue
        problems: list[str] = []
        found: list[Found] = []
        try:
            found = _read(block, request, budget, problems)
        except (_BlockError, MalformedKeyError) as error:
            if _is_content(block.body):
                problems.append(str(error))
        except der.DerError:
            if _is_content(block.body):
                problems.append("malformed-block")
        yield Passage(block.start, block.end, tuple(found), problems[0] if problems else "")


class _BlockError(ValueError):
    """The block is damaged; `str()` is the stable reason."""


class _Block(NamedTuple):
    label: bytes
    body: bytes
    start: int
    end: int
    reason: str = ""


def _blocks(text: bytes) -> Iterator[_Block]:
    """Yield the blocks with a label that means something here, and what is left of broken ones."""
    opened: re.Match[bytes] | None = None
    for line in _LINE.finditer(text):
        begins = line[1] == b"BEGIN"
        if opened and begins:
            yield from _unclosed(text, opened, line.start())
        elif opened and _is_known(opened[2]):
            body = _without_prefix(text, opened.start(), text[opened.end() : line.start()])
            if line[2] == opened[2]:
                yield _Block(opened[2], body, opened.start(), line.end())
            else:
                # Its base64 is left to those who ask no label what it is.
                yield _Block(opened[2], body, opened.start(), opened.end(), "mismatched-label")
        opened = line if begins else None
    if opened:
        yield from _unclosed(text, opened, len(text))


def _unclosed(text: bytes, opened: re.Match[bytes], end: int) -> Iterator[_Block]:
    """Yield a block without an end; it takes no more of the text than its first line."""
    if _is_known(opened[2]):
        body = text[opened.end() : min(end, opened.end() + _UNCLOSED_BYTES)]
        yield _Block(opened[2], body, opened.start(), opened.end(), "unclosed-block")


def _is_known(label: bytes) -> bool:
    return label in _READERS or label in _PASSED_OVER or label.endswith(b" PRIVATE KEY")


def _without_prefix(text: bytes, start: int, body: bytes) -> bytes:
    """Return the body without what stands before each of its lines, as before the block's first."""
    line_start = max(text.rfind(b"\n", 0, start), text.rfind(b"\r", 0, start)) + 1
    # The quote of a string literal is no mark: in each line another literal begins with it.
    mark = text[max(line_start, start - _PREFIX_BYTES) : start].strip().rstrip(b"\"'` \t")
    if not mark:
        return body
    first, *others = body.splitlines() or [b""]
    lines = [line.strip() for line in others]
    if not any(lines) or not all(line.startswith(mark) for line in lines if line):
        return body
    return b"\n".join((first, *(line[len(mark) :] for line in lines)))


def _is_content(body: bytes) -> bool:
    """Tell a damaged artifact from an example, a template or a mention."""
    text = _BLANK.sub(b"", _unwrapped(body))
    if len(text) < _CONTENT_BYTES or _PLACEHOLDER.search(text):
        return False
    return len(_NOT_BASE64.findall(text)) * 20 <= len(text)


def _unwrapped(body: bytes) -> bytes:
    """Return the body without the escapes and quotes of the string that it stands in."""
    if b"\\" in body or b"&#" in body or b"`" in body:
        body = _ESCAPED_BREAK.sub(b"\n", body).replace(b"\\", b"")
    if b'"' in body or b"'" in body or b"`" in body:
        body = _JOINT.sub(b"", body)
    return body


def _below_headers(body: bytes) -> bytes:
    """Return the base64 text below the headers of RFC 1421, 4.4, if there are any."""
    position = len(body) - len(body.lstrip())
    while True:
        end = body.find(b"\n", position) + 1 or len(body)
        if body.find(b":", position, end) < 0:
            return body[position:]
        position = end


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
    body = _unwrapped(block.body)
    sealed = _LEGACY_HEADERS.match(body)
    text = _below_headers(body[sealed.end() :] if sealed else body)
    # As OpenSSL does: a line that begins with a dash ends the base64 (EVP_DecodeUpdate(3)).
    text = text.partition(b"\n-")[0]
    if block.label == _OPENPGP:
        text = _CHECKSUM.sub(b"", text)
    try:
        data = binascii.a2b_base64(text)
    except binascii.Error:
        raise _BlockError("bad-base64") from None
    if sealed and block.label in _PLAIN_KEYS:
        return [read_legacy_key(sealed[1] or b"", data, request.passwords)]
    read = _READERS.get(block.label, _other_private_key)
    return read(_Payload(block, data, request, budget, problems))


def _first_element(data: bytes) -> bytes:
    """Return the first element of DER, without what some writers leave behind it, or all."""
    try:
        return der.encoding(data, der.read(data, 0, len(data))) if data[:1] == b"0" else data
    except der.DerError:
        return data


def _certificate(payload: _Payload) -> list[Found]:
    data = payload.data
    if payload.block.label == b"CERTIFICATE" and (known := findings.known_certificate(data)):
        return [known]
    if pkcs7.recognise(data, Hint()) is Confidence.SURE:
        return _signed_data(payload)
    if payload.block.label == b"TRUSTED CERTIFICATE":
        # OpenSSL's trust settings follow the certificate.
        data = der.encoding(data, der.read(data, 0, len(data)))
    else:
        data = _certificate_alone(data)
    make = findings.request if _is_request(data) else findings.certificate
    return [_signed(make, payload._replace(data=data))]


def _certificate_alone(data: bytes) -> bytes:
    """Return a certificate without what follows it, as OpenSSL reads it; anything else as it is."""
    alone = _first_element(data)
    try:
        certificate_fields(alone)
    except der.DerError:
        return data
    return alone


def _is_request(data: bytes) -> bool:
    """Tell whether a request stands under the label of a certificate, as in examples."""
    try:
        request_fields(data)
    except der.DerError:
        return False
    return True


def _csr(payload: _Payload) -> list[Found]:
    if pkcs7.recognise(payload.data, Hint()) is Confidence.SURE:  # a request of CMC (RFC 5272, 3.2)
        return _signed_data(payload)
    return [_signed(findings.request, payload)]


def _revocation_list(payload: _Payload) -> list[Found]:
    return [_signed(findings.revocation_list, payload)]


def _signed(make: Callable[[bytes, bytes], Found], payload: _Payload) -> Found:
    block, data = payload.block, payload.data
    found = make(data, b"" if block.label in _USUAL else block.label)
    if found.entry.reason and not (_is_whole(data) and _is_content(block.body)):
        raise _BlockError(found.entry.reason)
    return found


def _is_whole(data: bytes) -> bool:
    """Tell whether a SEQUENCE that does not break off starts the data: what is cut is no certificate."""
    try:
        return der.read(data, 0, len(data)).tag == der.SEQUENCE
    except der.DerError:
        return False


def _private_key(payload: _Payload) -> list[Found]:
    return [read_private_key(_first_element(payload.data))]


def _other_private_key(payload: _Payload) -> list[Found]:
    """Read a key under a label that is not known: by its structure, else it is named and no more."""
    label = payload.block.label
    try:
        return [read_private_key(_first_element(payload.data), label)]
    except MalformedKeyError:
        if not _is_content(payload.block.body):
            return []
        return [findings.opaque_key("", label, "unknown-label")]


def _sealed_key(payload: _Payload) -> list[Found]:
    data = _first_element(payload.data)
    return [read_sealed_key(data, payload.request.passwords, payload.budget)]


def _sealed_otherwise(payload: _Payload) -> list[Found]:
    """Report a key under a scheme of its writer's: sigstore's cosign (scrypt, NaCl's secretbox), Nebula."""
    return [findings.sealed_key(payload.data, payload.block.label, "unknown-encryption")]


def _nebula_key(payload: _Payload) -> list[Found]:
    return [nebula.read_nebula_key(payload.block.label, payload.data)]


def _tpm_key(payload: _Payload) -> list[Found]:
    return read_tpm_key(_first_element(payload.data))


def _openssh_key(payload: _Payload) -> list[Found]:
    return read_openssh_key(payload.data)


def _openpgp_keys(payload: _Payload) -> list[Found]:
    found, problem = read_secret_keys(payload.data)
    if problem and (found or _is_content(payload.block.body)):
        payload.problems.append(problem)
    return found


def _signed_data(payload: _Payload) -> list[Found]:
    return _whole(pkcs7.parse(payload.data, payload.request), payload)


def _keystore(payload: _Payload) -> list[Found]:
    return _whole(pkcs12.parse(payload.data, payload.request), payload)


def _whole(result: FormatResult, payload: _Payload) -> list[Found]:
    damaged = result.reason and result.status is not Status.LOCKED
    if damaged and (result.found or _is_content(payload.block.body)):
        payload.problems.append(result.reason)
    return list(result.found)


def _public_key(payload: _Payload) -> list[Found]:
    """Read an SPKI or an older form under any of their labels, as some writers mix them up."""
    data = _first_element(payload.data)
    fields = der.children(data, der.read_whole(data))
    tags = tuple(field.tag for field in fields)
    if tags == (der.SEQUENCE, der.BIT_STRING):
        der.expect(data, fields[0], der.OBJECT_IDENTIFIER)
        return [findings.public_key(data)]
    if tags == (der.INTEGER, der.INTEGER):
        return [findings.public_key(rsa_spki(data))]
    if tags == (der.INTEGER,) * 4:
        # DSA as OpenSSL once wrote it, its parameters beside it (d2i_DSAPublicKey(3)).
        y, p, q, g = (der.integer(data, field) for field in fields)
        if min(y, p, q, g) > 0:
            return [findings.public_key(dsa_spki(p, q, g, y))]
    raise _BlockError("malformed-public-key")


_PLAIN_KEYS = {
    b"RSA PRIVATE KEY",
    b"EC PRIVATE KEY",
    b"DSA PRIVATE KEY",
    b"PRIVATE KEY",
    b"ANY PRIVATE KEY",
}
# Known, and none of ours: nobody is to look for a certificate inside them.
_PASSED_OVER = {
    b"ATTRIBUTE CERTIFICATE",
    b"DH PARAMETERS",
    b"DSA PARAMETERS",
    b"EC PARAMETERS",
    b"PARAMETERS",
    b"X9.42 DH PARAMETERS",
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
    b"EC PUBLIC KEY": _public_key,
    b"DSA PUBLIC KEY": _public_key,
    b"PKCS7": _signed_data,
    b"PKCS #7 SIGNED DATA": _signed_data,
    b"CMS": _signed_data,
    b"CERTIFICATE CHAIN": _signed_data,
    b"PKCS12": _keystore,
    _OPENPGP: _openpgp_keys,
    b"TSS2 PRIVATE KEY": _tpm_key,
    b"ENCRYPTED COSIGN PRIVATE KEY": _sealed_otherwise,
    b"ENCRYPTED SIGSTORE PRIVATE KEY": _sealed_otherwise,
    **dict.fromkeys(nebula.LABELS, _nebula_key),
    **dict.fromkeys(nebula.SEALED_LABELS, _sealed_otherwise),
    **dict.fromkeys(_PLAIN_KEYS, _private_key),
}
