"""Encrypted credentials of systemd, as files and in units: what is in them only this machine can say.

Pure, on hostile bytes. Recognised and reported as sealed, because certificates' keys are kept so. Sources:
systemd.exec(5), creds-util.h and creds-util.c of systemd.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from dataclasses import replace

from keycensus_agent.parser.findings import Passage, Request, sealed_container
from keycensus_agent.parser.triage import CREDENTIAL_STARTS

NAME = "systemd-credential"
DESCRIPTION = "systemd's encrypted credentials, in files and units: reported as sealed"
SUFFIXES = ("cred",)

_IN_UNIT = re.compile(
    rb"^[ \t]*SetCredentialEncrypted=([A-Za-z0-9_.-]{1,255}):((?:[A-Za-z0-9+/= \t]|\\\r?\n)*)",
    re.MULTILINE,
)
_FILE = re.compile(rb"\A[A-Za-z0-9+/=\s]+\Z")
_BLANK = re.compile(rb"[\s\\]+")
# A header with a key's type, lengths and an initialisation vector, and a tag.
_SMALLEST = 48


def find(text: bytes, request: Request) -> Iterator[Passage]:
    """Yield the file as a whole, or each credential of a unit with its name as member."""
    del request
    if text[:11] in CREDENTIAL_STARTS and _FILE.match(text):
        yield from _credential(text, 0, len(text), b"")
        return
    if b"SetCredentialEncrypted=" not in text:
        return
    for line in _IN_UNIT.finditer(text):
        yield from _credential(line[2], line.start(), line.end(), line[1])


def _credential(encoded: bytes, start: int, end: int, name: bytes) -> Iterator[Passage]:
    plain = _BLANK.sub(b"", encoded)
    try:
        data = binascii.a2b_base64(plain)
    except binascii.Error:
        return
    if plain[:11] in CREDENTIAL_STARTS and len(data) >= _SMALLEST:
        found = sealed_container(data, "machine-key-needed")
        yield Passage(start, end, (replace(found, entry=replace(found.entry, member=name)),))
