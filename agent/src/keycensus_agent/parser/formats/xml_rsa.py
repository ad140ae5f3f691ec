"""Private RSA keys as .NET writes them in XML: RSAKeyValue with the private exponent in <D>.

Pure, on hostile bytes; no XML parser, so no entity is ever followed. Without <D> it is a public key, which XML
signatures repeat in every document: no finding. Sources: RSA.ToXmlString of .NET; XML Signature 4.5.2.2.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from itertools import islice

from keycensus_agent.parser.findings import Passage, Request, private_key
from keycensus_agent.parser.private_key import MalformedKeyError
from keycensus_agent.parser.raw_keys import RsaNumbers, rsa_public_half

NAME = "xml-rsa"
DESCRIPTION = ".NET RSA private keys in XML (RSAKeyValue with its private exponent)"
SUFFIXES = ("xml", "config")

_START = re.compile(
    rb"<(?P<name>(?:[A-Za-z0-9]{1,16}:)?RSAKeyValue|RSAParameters)(?:\s[^<>]{0,512})?>"
)
_ELEMENT = re.compile(rb"<(?:[A-Za-z0-9]{1,16}:)?([A-Za-z]{1,8})>([A-Za-z0-9+/=\s]{1,16384})</")
# A key of 16,384 bits has 13 KiB.
_LONGEST = 64 * 1024
# Keys without primes are checked by an exponentiation each.
_KEYS_LIMIT = 16
# Public keys, which are passed over, are in every signature of a file of them.
_STARTS_LIMIT = 4096


def find(text: bytes, request: Request) -> Iterator[Passage]:
    """Yield each private key; one whose numbers contradict each other is damage."""
    del request
    if b"RSAKeyValue" not in text and b"RSAParameters" not in text:
        return
    # In configuration it often stands escaped; the length stays the same.
    text = text.replace(b"&lt;", b"   <").replace(b"&gt;", b">   ")
    count = 0
    for start in islice(_START.finditer(text), _STARTS_LIMIT):
        end = text.find(b"</" + start["name"], start.end(), start.end() + _LONGEST)
        elements = _ELEMENT.finditer(text, start.end(), max(end, start.end()) + 2)
        values = {element[1]: element[2] for element in elements}
        if b"D" not in values or b"Modulus" not in values:
            continue
        count += 1
        if count > _KEYS_LIMIT:
            yield Passage(start.start(), end, (), "limit-values")
            return
        try:
            found = private_key(rsa_public_half(_numbers(values)))
        except (MalformedKeyError, binascii.Error):
            yield Passage(start.start(), end, (), "malformed-private-key")
        else:
            yield Passage(start.start(), end, (found,))


def _numbers(values: dict[bytes, bytes]) -> RsaNumbers:
    names = (b"Modulus", b"Exponent", b"D", b"P", b"Q")
    octets = (binascii.a2b_base64(values.get(name, b"")) for name in names)
    return RsaNumbers(*(int.from_bytes(item, "big") for item in octets))
