"""PuTTY's private keys (.ppk): the public half stands in the clear, also when the rest is encrypted.

Pure, on hostile bytes; the private lines are not decoded. Source: PuTTY's manual, appendix C (file
format of versions 2 and 3) and sshpubk.c, also for version 1.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator

from keycensus_agent.parser.findings import Found, Passage, Request
from keycensus_agent.parser.openssh import ssh_private_key
from keycensus_agent.parser.ssh_wire import WireError

NAME = "ppk"
DESCRIPTION = "PuTTY private keys, versions 1 to 3: public half and whether it is encrypted"
SUFFIXES = ("ppk",)

_FILE = re.compile(
    rb"PuTTY-User-Key-File-[1-9]: (?P<kind>[\w@.-]{1,64})[ \t]*\r?\n"
    rb"Encryption: (?P<cipher>[\w-]{1,32})[ \t]*\r?\n"
    rb"(?:Comment: (?P<comment>[^\r\n]{0,1024})\r?\n)?"
    rb"Public-Lines: (?P<lines>\d{1,4})[ \t]*\r?\n"
)
_PRIVATE = re.compile(
    rb"(?:[A-Z][\w-]{1,31}: [^\r\n]{0,1024}\r?\n)*Private-Lines: \d{1,4}[ \t]*\r?\n"
)


def find(text: bytes, request: Request) -> Iterator[Passage]:
    """Yield each key of the text; its comment is its member."""
    del request
    if b"PuTTY-User-Key-File-" not in text:
        return
    position = 0
    while start := _FILE.search(text, position):
        position = start.end()
        lines = _lines(text, start.end(), int(start["lines"]))
        end = start.end() + sum(map(len, lines))
        private = _PRIVATE.match(text, end)
        if private is None:
            yield Passage(start.start(), end, (), "malformed-private-key")
            continue
        try:
            found = _key(start, b"".join(lines))
        except (WireError, binascii.Error):
            yield Passage(start.start(), private.end(), (), "malformed-private-key")
            continue
        yield Passage(start.start(), private.end(), (found,))


def _lines(text: bytes, position: int, count: int) -> list[bytes]:
    """Return so many lines, each with its end."""
    return text[position : position + 128 * count].splitlines(keepends=True)[:count]


def _key(start: re.Match[bytes], encoded: bytes) -> Found:
    blob = binascii.a2b_base64(encoded)
    return ssh_private_key(blob, start["comment"] or b"", encrypted=start["cipher"] != b"none")
