"""GnuPG's keybox (pubring.kbx): the X.509 certificates that gpgsm keeps in it.

Pure, on hostile bytes. A keybox is a row of blobs that each tell their length and kind; OpenPGP keys are
no business of ours and are passed over. Source: kbx/keybox-blob.c of GnuPG.
"""

from __future__ import annotations

from keycensus_agent.parser.cursor import Cursor, CutError
from keycensus_agent.parser.findings import (
    Confidence,
    FormatResult,
    Found,
    Hint,
    Request,
    certificate,
    conclude,
)
from keycensus_agent.parser.rescue import rescued_certificates

NAME = "keybox"
DESCRIPTION = "GnuPG keybox: X.509 certificates"
SUFFIXES = ("kbx",)

_HEADER, _X509 = 1, 3
_MAGIC, _MAGIC_AT = b"KBXf", 8
_LENGTH_BYTES = 4


def recognise(data: bytes, hint: Hint) -> Confidence:
    """Tell by the magic number in a first blob of the right kind."""
    del hint
    sure = data.startswith(_MAGIC, _MAGIC_AT) and data[4] == _HEADER
    return Confidence.SURE if sure else Confidence.NO


def parse(data: bytes, request: Request) -> FormatResult:
    """Return the certificates in the order of the file."""
    del request
    found: list[Found] = []
    problems: list[str] = []
    box = Cursor(data)
    try:
        while box.left:
            start = box.position
            # The length counts itself; nothing shorter has a kind.
            box.take(max(box.number(_LENGTH_BYTES), _LENGTH_BYTES + 1) - _LENGTH_BYTES)
            blob = data[start : box.position]
            if blob[4] == _X509:
                found.append(_certificate(blob))
            box.vouch()
    except CutError as error:
        problems.append(str(error))
        found.extend(rescued_certificates(data, box.sound))
    return conclude(NAME, found, problems)


def _certificate(blob: bytes) -> Found:
    head = Cursor(blob, 8)
    start, size = head.number(4), head.number(4)
    return certificate(Cursor(blob, start).take(size))
