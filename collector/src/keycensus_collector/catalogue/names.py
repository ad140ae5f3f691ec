"""Distinguished names and alternative names as text that is safe to show.

A name from a certificate is written by a stranger: each value is escaped before it is joined with
others, so no value can pass for two. Pure; runs on hostile bytes.
"""

from __future__ import annotations

import codecs
import ipaddress
from dataclasses import dataclass

from keycensus_collector.catalogue import der
from keycensus_collector.text import safe_path, safe_text

# Longer ones are cut: people read these. Bytes and hashes stay whole.
NAME_CHARACTERS = 4_096
# PostgreSQL's B-tree entries hold 2,700 bytes, and a character takes up to four.
VALUE_CHARACTERS = 600
# A certificate of 256 KiB has room for far more; what is beyond is said to be missing.
NAMES_PER_CERTIFICATE = 4_096

_COMMON_NAME = "2.5.4.3"
# RFC 4514 section 3, then those that OpenSSL and cryptography know by name.
_ATTRIBUTES = {
    _COMMON_NAME: "CN",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "2.5.4.6": "C",
    "2.5.4.9": "STREET",
    "0.9.2342.19200300.100.1.25": "DC",
    "0.9.2342.19200300.100.1.1": "UID",
    "2.5.4.4": "SN",
    "2.5.4.5": "serialNumber",
    "2.5.4.12": "title",
    "2.5.4.17": "postalCode",
    "2.5.4.42": "GN",
    "2.5.4.46": "dnQualifier",
    "2.5.4.97": "organizationIdentifier",
    "1.2.840.113549.1.9.1": "emailAddress",
    "1.3.6.1.4.1.311.60.2.1.3": "jurisdictionC",
    "2.5.4.15": "businessCategory",
}
# ASN.1 string types with their encoding (X.690 8.23, RFC 5280 4.1.2.4); TeletexString as browsers do.
_STRINGS = {
    0x0C: "utf-8",
    0x12: "ascii",
    0x13: "ascii",
    0x14: "latin-1",
    0x16: "ascii",
    0x1A: "ascii",
    0x1C: "utf-32-be",
    0x1E: "utf-16-be",
}
# Found now: the child that uses them can't open the files that they are in later.
for _encoding in _STRINGS.values():
    codecs.lookup(_encoding)
_RFC4514_SPECIAL = frozenset(',+"<>;')

# GeneralName, RFC 5280 section 4.2.1.6: context tags.
_OTHER, _DIRECTORY, _IP = 0xA0, 0xA4, 0x87
_TEXTS = {0x81: "email", 0x82: "dns", 0x86: "uri"}
_UPN = "1.3.6.1.4.1.311.20.2.3"


@dataclass(frozen=True, slots=True)
class NameFact:
    """One name of a certificate: kinds as in schema.certificate_name; `value` is safe to show."""

    kind: str
    value: str


@dataclass(frozen=True, slots=True)
class DistinguishedName:
    """A Name as people read it, most specific part first; empty if there is nothing in it."""

    text: str
    common_name: str


def read_name(element: der.Element) -> DistinguishedName:
    """Return an RDNSequence as text (RFC 4514); DerError if it is none."""
    parts: list[str] = []
    common_name = ""
    for rdn in element.expect(der.SEQUENCE).children():
        pairs: list[str] = []
        for attribute in rdn.expect(der.SET).children():
            oid, value = _attribute(attribute)
            if oid == _COMMON_NAME:
                common_name = value
            pairs.append(f"{_ATTRIBUTES.get(oid, oid)}={_rfc4514(value)}")
        parts.append("+".join(pairs))
    text = ",".join(reversed(parts))
    return DistinguishedName(text[:NAME_CHARACTERS], common_name[:VALUE_CHARACTERS])


def _attribute(element: der.Element) -> tuple[str, str]:
    children = list(element.expect(der.SEQUENCE).children())
    if len(children) != 2:
        raise der.DerError("attribute without a value")
    return der.read_oid(children[0]), _string(children[1])


def _string(element: der.Element) -> str:
    encoding = _STRINGS.get(element.tag)
    if encoding is not None:
        try:
            return safe_text(element.content.decode(encoding))
        except UnicodeDecodeError:
            # Very common: Latin-1 or UTF-8 in a type that allows neither. Show what is readable.
            if encoding in {"ascii", "utf-8"}:
                return safe_path(element.content)
    return "#" + element.encoded[:VALUE_CHARACTERS].hex()


def _rfc4514(value: str) -> str:
    """Escape what separates (RFC 4514, 2.4); backslashes and controls are escaped already."""
    if _RFC4514_SPECIAL.isdisjoint(value) and value[:1] != " " and value[-1:] != " ":
        return value
    text = "".join("\\" + c if c in _RFC4514_SPECIAL else c for c in value)
    if text.startswith(" "):
        text = "\\" + text
    return text[:-1] + "\\ " if text.endswith(" ") and text != "\\ " else text


def read_general_names(sequence: der.Element) -> list[NameFact]:
    """Return the names of a GeneralNames in their order, at most the cap; DerError if cut short."""
    names: list[NameFact] = []
    for element in sequence.expect(der.SEQUENCE).children():
        if len(names) == NAMES_PER_CERTIFICATE:
            break
        names.append(_general_name(element))
    return names


def _general_name(element: der.Element) -> NameFact:
    content = element.content
    if element.tag in _TEXTS:
        kind, text = _TEXTS[element.tag], safe_path(content)
        return _fact(kind, text.lower() if kind == "dns" else text)
    if element.tag == _IP and len(content) in {4, 16}:
        return _fact("ip", str(ipaddress.ip_address(content)))
    if element.tag == _DIRECTORY:
        return _fact("directory", read_name(element.first_child()).text)
    if element.tag == _OTHER:
        return _fact("other", _other_name(element))
    return _fact("other", f"#{content[:VALUE_CHARACTERS].hex()}")


def _other_name(element: der.Element) -> str:
    children = list(element.children())
    if len(children) != 2:
        raise der.DerError("other name without a value")
    oid = der.read_oid(children[0])
    value = _string(children[1].first_child())
    return value if oid == _UPN else f"{oid}={value}"


def _fact(kind: str, value: str) -> NameFact:
    return NameFact(kind, value[:VALUE_CHARACTERS])


def reversed_labels(name: NameFact) -> str:
    """Return "com.example.www" for the DNS name www.example.com; empty for other kinds."""
    return ".".join(reversed(name.value.split("."))) if name.kind == "dns" else ""
