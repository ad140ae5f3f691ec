"""Identities of age: X25519 keys, post-quantum ones, and those that live behind a plug-in.

Pure, on hostile bytes. The checksum of Bech32 tells an identity from a mention. Sources: the age
specification (C2SP), BIP 173 for Bech32.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from keycensus_agent.parser.findings import (
    Found,
    Passage,
    Request,
    external_key,
    opaque_key,
    private_key,
)
from keycensus_agent.parser.private_key import MalformedKeyError
from keycensus_agent.parser.public_key import KeyFacts
from keycensus_agent.parser.raw_keys import raw_public_half

NAME = "age"
DESCRIPTION = "age identities: X25519 with its public half, post-quantum and plug-ins by name"
SUFFIXES = ("txt", "key", "age")

_CHARACTERS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_IDENTITY = re.compile(
    rb"(?<![A-Za-z0-9-])(AGE-(?:SECRET-KEY(?:-PQ)?|PLUGIN-[A-Z0-9+._-]{1,64}?)-)1([02-9AC-HJ-NP-Z]{6,1024})(?![A-Za-z0-9])"
)
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_CHECKSUM_VALUES = 6
# More than any file has; each is computed.
_IDENTITIES_LIMIT = 1024


def find(text: bytes, request: Request) -> Iterator[Passage]:
    """Yield each identity whose checksum is right."""
    del request
    if b"AGE-SECRET-KEY-" not in text and b"AGE-PLUGIN-" not in text:
        return
    for count, identity in enumerate(_IDENTITY.finditer(text)):
        if count == _IDENTITIES_LIMIT:
            yield Passage(identity.start(), identity.end(), (), "limit-values")
            return
        prefix = identity[1].decode("ascii").lower()
        values = [_CHARACTERS.index(chr(octet).lower()) for octet in identity[2]]
        if _remainder(prefix, values) != 1:
            continue
        try:
            found = _entry(prefix, _octets(values[:-_CHECKSUM_VALUES]))
        except MalformedKeyError as error:
            yield Passage(identity.start(), identity.end(), (), str(error))
        else:
            yield Passage(identity.start(), identity.end(), (found,))


def _entry(prefix: str, secret: bytes) -> Found:
    if prefix.startswith("age-plugin-"):
        plugin = prefix.removeprefix("age-plugin-").rstrip("-")
        return external_key(KeyFacts(), f"age-plugin:{plugin}", "age-plugin")
    if prefix == "age-secret-key-":
        return private_key(raw_public_half("x25519", secret))
    return opaque_key("ml-kem-768+x25519", reason="no-public-half")


def _remainder(prefix: str, values: list[int]) -> int:
    """Return what Bech32's checksum is compared with: 1 if it is right."""
    expanded = (
        [ord(letter) >> 5 for letter in prefix] + [0] + [ord(letter) & 31 for letter in prefix]
    )
    checksum = 1
    for value in expanded + values:
        top = checksum >> 25
        checksum = (checksum & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(_GENERATOR):
            checksum ^= generator if top >> bit & 1 else 0
    return checksum


def _octets(values: list[int]) -> bytes:
    """Return the bytes of groups of five bits, without the filling of the last."""
    number = 0
    for value in values:
        number = number << 5 | value
    bits = 5 * len(values)
    return (number >> bits % 8).to_bytes(bits // 8, "big")
