"""Private keys of GnuPG's agent (private-keys-v1.d/*.key), by their public half.

Pure, on hostile bytes. An S-expression, bare or as the value of "Key:" among lines of names and values;
the public numbers are in the clear even where the private ones are under a passphrase. gpgsm, gpg
and ssh share these files. Sources: agent/keyformat.txt of GnuPG, draft-rivest-sexp.
"""

from __future__ import annotations

import re

from keycensus_agent.parser import der
from keycensus_agent.parser.findings import (
    Confidence,
    FormatResult,
    Found,
    Hint,
    Request,
    conclude,
    external_key,
    opaque_key,
    private_key,
)
from keycensus_agent.parser.public_key import (
    KeyFacts,
    dsa_spki,
    ec_spki,
    key_facts,
    raw_spki,
    rsa_spki_from_numbers,
)
from keycensus_agent.parser.s_expression import Expression, ExpressionError, read_expression

NAME = "gnupg-key"
DESCRIPTION = "private keys of GnuPG's agent, by their public half"
SUFFIXES = ("key",)

_KINDS = (b"private-key", b"protected-private-key", b"shadowed-private-key")
_READABLE = re.compile(rb"\((?:protected-|shadowed-)?private-key[\s(]")
_CANONICAL = tuple(b"(%d:%s(" % (len(kind), kind) for kind in _KINDS)
# The value goes on in lines that start with a blank.
_VALUE = re.compile(rb"^Key:((?:.*)(?:\n[ \t].*)*)", re.MULTILINE | re.IGNORECASE)
_VALUE_START = re.compile(
    rb"^Key:\s*\((?:protected-|shadowed-)?private-key[\s(]", re.MULTILINE | re.IGNORECASE
)
_HEAD_BYTES = 4096
_PREFIXED_POINT = 0x40
_NAME_LIMIT = 32
# Names that libgcrypt gives curves, in lower case without blanks.
_CURVES = {
    b"nistp-192": "1.2.840.10045.3.1.1",
    b"nistp-224": "1.3.132.0.33",
    b"nistp-256": "1.2.840.10045.3.1.7",
    b"nistp-384": "1.3.132.0.34",
    b"nistp-521": "1.3.132.0.35",
    b"nistp256": "1.2.840.10045.3.1.7",
    b"nistp384": "1.3.132.0.34",
    b"nistp521": "1.3.132.0.35",
    b"secp256k1": "1.3.132.0.10",
    b"brainpoolp256r1": "1.3.36.3.3.2.8.1.1.7",
    b"brainpoolp384r1": "1.3.36.3.3.2.8.1.1.11",
    b"brainpoolp512r1": "1.3.36.3.3.2.8.1.1.13",
}
# Curves with an algorithm of their own, and the length of their keys in bytes.
_OWN_ALGORITHMS = {
    b"curve25519": ("1.3.101.110", 32),
    b"x448": ("1.3.101.111", 56),
    b"ed25519": ("1.3.101.112", 32),
    b"ed448": ("1.3.101.113", 57),
}
_RSA = {b"rsa", b"openpgp-rsa", b"oid.1.2.840.113549.1.1.1"}
_ELGAMAL = {b"elg", b"openpgp-elg"}


def recognise(data: bytes, hint: Hint) -> Confidence:
    """Tell by the start of a key as such, or by a line that holds one."""
    del hint
    if _is_bare(data) or _VALUE_START.search(data[:_HEAD_BYTES]):
        return Confidence.SURE
    return Confidence.NO


def _is_bare(data: bytes) -> bool:
    return data.startswith(_CANONICAL) or _READABLE.match(data) is not None


def parse(data: bytes, request: Request) -> FormatResult:
    """Return the one key of the file; one on a smart card is a key elsewhere."""
    del request
    value = data
    if not _is_bare(data) and (match := _VALUE.search(data)):
        value = match[1]
    try:
        found = [_key(read_expression(value))]
    except (ExpressionError, der.DerError):
        return conclude(NAME, (), ["malformed-private-key"])
    return FormatResult(NAME, tuple(found))


def _key(expression: Expression) -> Found:
    if len(expression) < 2 or expression[0] not in _KINDS or isinstance(expression[1], bytes):
        raise ExpressionError("no key")
    body = expression[1]
    if not isinstance(body, list) or not body or not isinstance(body[0], bytes):
        raise ExpressionError("no key")
    algorithm, values = body[0], _values(body[1:])
    spki = _public_half(algorithm, values)
    if expression[0] == b"shadowed-private-key":
        facts = key_facts(spki) if spki else KeyFacts()
        return external_key(facts, "", "smart-card")
    if not spki:
        return _opaque(algorithm, values)
    return private_key(spki, encrypted=expression[0] == b"protected-private-key")


def _opaque(algorithm: bytes, values: dict[bytes, bytes]) -> Found:
    if algorithm in _ELGAMAL:
        return opaque_key("elgamal", reason="no-public-half")
    if b"curve" in values:
        return opaque_key("ec", reason="no-public-half")
    return opaque_key(algorithm.decode("ascii", "replace")[:_NAME_LIMIT])


def _values(items: list[Expression]) -> dict[bytes, bytes]:
    """Return the parameters that are (name value)."""
    return {
        item[0]: item[1]
        for item in items
        if isinstance(item, list)
        and len(item) > 1
        and isinstance(item[0], bytes)
        and isinstance(item[1], bytes)
    }


def _public_half(algorithm: bytes, values: dict[bytes, bytes]) -> bytes:
    """Return the SPKI, empty if the algorithm or the curve is not known."""
    if algorithm in _RSA:
        return rsa_spki_from_numbers(*_numbers(values, b"n", b"e"))
    if algorithm == b"dsa":
        return dsa_spki(*_numbers(values, b"p", b"q", b"g", b"y"))
    if b"curve" in values and b"q" in values:
        curve = values[b"curve"].lower().replace(b" ", b"")
        return _curve_key(curve, values[b"q"])
    return b""


def _curve_key(curve: bytes, point: bytes) -> bytes:
    if curve in _OWN_ALGORITHMS:
        oid, size = _OWN_ALGORITHMS[curve]
        key = point[1:] if len(point) == size + 1 and point[0] == _PREFIXED_POINT else point
        return raw_spki(oid, key) if len(key) == size else b""
    return ec_spki(der.encode_oid(_CURVES[curve]), point) if curve in _CURVES else b""


def _numbers(values: dict[bytes, bytes], *names: bytes) -> list[int]:
    numbers = [int.from_bytes(values.get(name, b""), "big") for name in names]
    if not all(numbers):
        raise ExpressionError("no key")
    return numbers
