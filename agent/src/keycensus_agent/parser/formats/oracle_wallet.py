"""Oracle's auto-login wallet (cwallet.sso): recognised, and reported as locked.

Pure, on hostile bytes. It is a PKCS#12 behind a header, under a key that Oracle's libraries make from
the header; its sibling ewallet.p12 is read as PKCS#12. Whoever can read the file can use what is in it.
Source: the headers of wallets as orapki and mkstore write them.
"""

from __future__ import annotations

from keycensus_agent.model import Status
from keycensus_agent.parser.findings import (
    Confidence,
    FormatResult,
    Hint,
    Request,
    sealed_container,
)

NAME = "oracle-wallet"
DESCRIPTION = "Oracle's auto-login wallet: that it is there"
SUFFIXES = ("sso",)

# The last byte tells for whom it opens: everyone, this user on this host, ...
_MAGICS = tuple(b"\xa1\xf8\x4e" + bytes([kind]) for kind in range(0x30, 0x3A))
_HEADER_BYTES = 16


def recognise(data: bytes, hint: Hint) -> Confidence:
    """Tell by the magic number and the version behind it."""
    del hint
    sure = data.startswith(_MAGICS) and data[4:7] == b"\0\0\0" and len(data) > _HEADER_BYTES
    return Confidence.SURE if sure else Confidence.NO


def parse(data: bytes, request: Request) -> FormatResult:
    """Return the wallet as one locked container."""
    del request
    found = sealed_container(data[_HEADER_BYTES:], "unsupported-keystore")
    return FormatResult(NAME, (found,), Status.LOCKED, "unsupported-keystore")
