"""WireGuard's private keys, in the configuration of wg, wg-quick, systemd-networkd and NetworkManager.

Pure, on hostile bytes. The key is 32 bytes that say nothing of themselves, so only one in a section that is
WireGuard's counts. Sources: wg(8), systemd.netdev(5), nm-settings-keyfile(5), RFC 7748.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator

from keycensus_agent.parser.findings import Passage, Request, private_key
from keycensus_agent.parser.raw_keys import raw_public_half

NAME = "wireguard"
DESCRIPTION = "WireGuard private keys in configuration: X25519 with their public half"
SUFFIXES = ("conf", "netdev", "nmconnection")

_LINE = re.compile(
    rb"^[ \t]*(?:\[(?P<section>[A-Za-z0-9. -]{1,64})\]"
    rb"|(?:PrivateKey|private-key)[ \t]*=[ \t]*(?P<key>[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=)(?=\s|\Z|[#;]))",
    re.MULTILINE | re.IGNORECASE,
)
# More keys than any file has; each is computed.
_KEYS_LIMIT = 1024
_SECTIONS = {b"interface", b"wireguard"}
_HEADINGS = tuple(b"[%s]" % section for section in sorted(_SECTIONS))


def find(text: bytes, request: Request) -> Iterator[Passage]:
    """Yield each private key below a heading of WireGuard's."""
    del request
    # The expression looks at every line; hardly a text has such a heading.
    lower = text.lower()
    if not any(heading in lower for heading in _HEADINGS):
        return
    ours, count = False, 0
    for line in _LINE.finditer(text.replace(b"\r", b"\n")):
        if line["section"]:
            ours = line["section"].lower() in _SECTIONS
        elif ours:
            count += 1
            if count > _KEYS_LIMIT:
                yield Passage(line.start(), line.end(), (), "limit-values")
                return
            spki = raw_public_half("x25519", binascii.a2b_base64(line["key"]))
            yield Passage(line.start(), line.end(), (private_key(spki),))
