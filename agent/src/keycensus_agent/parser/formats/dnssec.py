"""Private keys of DNSSEC as BIND's dnssec-keygen and its heirs write them (K*.private).

Pure, on hostile bytes. Sources: BIND's dst_parse.c and dnssec-keygen(8); RFC 3110, RFC 6605, RFC 8080
for the algorithms.
"""

from __future__ import annotations

import binascii
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
from keycensus_agent.parser.raw_keys import (
    RsaNumbers,
    ec_public_half,
    raw_public_half,
    rsa_public_half,
)

NAME = "dnssec"
DESCRIPTION = "DNSSEC private keys (K*.private): RSA, ECDSA and EdDSA with their public half"
SUFFIXES = ("private",)

_FILE = re.compile(
    rb"Private-key-format: v1\.\d\r?\nAlgorithm: (?P<number>\d{1,3})[^\r\n]*\r?\n"
    rb"(?P<fields>(?:[A-Za-z0-9()]{1,32}:[^\r\n]{0,16384}(?:\r?\n|\Z))*)"
)
# More keys than any file has; each is computed.
_KEYS_LIMIT = 1024
_RSA = {1, 5, 7, 8, 10}
_CURVES = {13: "secp256r1", 14: "secp384r1"}
_RAW = {15: "ed25519", 16: "ed448"}
_NAMES = {3: "dsa", 6: "dsa", 2: "dh", 12: "gost2001"}
# Symmetric keys (TSIG) have the same form.
_SYMMETRIC = range(157, 166)


def find(text: bytes, request: Request) -> Iterator[Passage]:
    """Yield each key of the text."""
    del request
    if b"Private-key-format: v1." not in text:
        return
    for count, file in enumerate(_FILE.finditer(text)):
        if count == _KEYS_LIMIT:
            yield Passage(file.start(), file.end(), (), "limit-values")
            return
        number = int(file["number"])
        if number in _SYMMETRIC:
            continue
        lines = (line.partition(b":") for line in file["fields"].splitlines())
        fields = {name: value.strip() for name, _, value in lines}
        try:
            yield Passage(file.start(), file.end(), (_key(number, fields),))
        except (MalformedKeyError, binascii.Error):
            yield Passage(file.start(), file.end(), (), "malformed-private-key")


def _key(number: int, fields: dict[bytes, bytes]) -> Found:
    if b"Label" in fields and b"PrivateKey" not in fields and b"Modulus" not in fields:
        # The label may be a PKCS#11 URI with a PIN: it is not told.
        return external_key(KeyFacts(_NAMES.get(number, "")), "", "security-module")
    if number in _RSA:
        names = (b"Modulus", b"PublicExponent", b"PrivateExponent", b"Prime1", b"Prime2")
        numbers = [int.from_bytes(_octets(fields, name), "big") for name in names]
        return private_key(rsa_public_half(RsaNumbers(*numbers)))
    if number in _CURVES:
        return private_key(ec_public_half(_CURVES[number], _octets(fields, b"PrivateKey")))
    if number in _RAW:
        return private_key(raw_public_half(_RAW[number], _octets(fields, b"PrivateKey")))
    return opaque_key(_NAMES.get(number, f"dnssec-{number}"))


def _octets(fields: dict[bytes, bytes], name: bytes) -> bytes:
    return binascii.a2b_base64(fields.get(name, b""))
