"""SSH's public keys: `.pub`, `authorized_keys`, host keys, and the armour of RFC 4716.

Pure, on hostile bytes. They are kept apart from private keys, and those of other hosts (known_hosts)
are none of this one's: a line that names hosts before the key is passed over. Sources: sshd(8),
ssh-keygen(1), RFC 4716, PROTOCOL.certkeys of OpenSSH.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from dataclasses import replace

from keycensus_agent.parser.findings import (
    Found,
    Passage,
    Request,
    opaque_key,
    public_key,
    sealed_key,
)
from keycensus_agent.parser.ssh_wire import WireError, read_public
from keycensus_agent.parser.starts import Start, Starts

NAME = "ssh-public-key"
DESCRIPTION = "SSH public keys and certificates: authorized_keys, .pub, RFC 4716"
SUFFIXES = ("pub",)

# Behind a blank or a tab.
_KEYS = tuple(
    Start(
        re.compile(
            before
            + rb"(?P<key>AAAA[A-Za-z0-9+/]{16,}={0,2})(?:[ \t]+(?P<comment>[^\r\n\"']{1,512}))?"
        )
    )
    for before in (rb" ", rb"\t")
)
_KIND = re.compile(rb"(?:sk-)?(?:ssh|ecdsa)-[a-z0-9-]{2,40}(?:@openssh\.com)?(?=[ \t]+\Z)")
_KIND_BYTES, _BEFORE_BYTES = 80, 4096
# Options of authorized_keys (sshd(8)), or the start of a value in a file of configuration.
_OPTIONS = re.compile(
    rb"\s*(?:(?:no-)?(?:agent-forwarding|port-forwarding|pty|user-rc|X11-forwarding|touch-required)"
    rb"|cert-authority|restrict|verify-required"
    rb"|(?:command|environment|expiry-time|from|permitlisten|permitopen|principals|tunnel)=\")",
    re.IGNORECASE,
)
_VALUE = re.compile(rb"\A\s*(?:-[ \t]*)?\Z|[\"'=:\[,][ \t]*\Z")
_NOT_OURS = (b"|", b"@", b"#")
_ARMOUR = re.compile(rb"---- BEGIN SSH2 (PUBLIC KEY|ENCRYPTED PRIVATE KEY) ----")
_ARMOURED_BYTES = 64 * 1024
# A header of RFC 4716 goes on in the next line where it ends with a backslash.
_HEADER = re.compile(rb"\A\s*[A-Za-z0-9-]{1,64}:(?:[^\r\n\\]|\\\r?\n|\\)*\r?\n")
# What is meant for a key: base64, in lines or one.
_ENCODED = re.compile(rb"[A-Za-z0-9+/=\s]+\Z")
_COMMENT = re.compile(rb"Comment:[ \t]*\"?([^\"\r\n\\]{1,512})")
# Magic of ssh.com's private keys, in front of the name of the key's kind and of the cipher.
_SSH_COM_MAGIC = b"\x3f\x6f\xf9\xeb"


def find(text: bytes, request: Request) -> Iterator[Passage]:
    """Yield each key of the text, in order; its comment is its member."""
    passages = list(_armoured(text))
    if b"known_hosts" not in request.hint.name.rpartition(b"/")[2]:
        passages += _lines(text)
    yield from sorted(passages, key=lambda passage: passage.start)


def _lines(text: bytes) -> Iterator[Passage]:
    position, keys = 0, Starts(_KEYS, text)
    while key := keys.after(position):
        position, start = key.end(), key.start("key")
        kind = _KIND.search(text[max(0, start - _KIND_BYTES) : start])
        if kind is None:
            continue
        named_at = start - min(start, _KIND_BYTES) + kind.start()
        before = text[max(0, named_at - _BEFORE_BYTES) : named_at]
        if not _is_own(re.split(rb"[\r\n]", before)[-1]):
            continue
        found = _key(key["key"], kind[0], (key["comment"] or b"").strip())
        if found is not None:
            yield Passage(named_at, key.end(), (found,))


def _is_own(before: bytes) -> bool:
    """Tell an authorized key or a value from a line of known_hosts, and from a comment."""
    if before.lstrip().startswith(_NOT_OURS):
        return False
    return _VALUE.search(before) is not None or _OPTIONS.match(before) is not None


def _key(encoded: bytes, kind: bytes, comment: bytes) -> Found | None:
    try:
        key = read_public(binascii.a2b_base64(encoded))
    except (binascii.Error, WireError):
        return None
    if not key.spki or (kind and key.kind != kind):
        return None
    found = public_key(key.spki, comment)
    if key.certified:
        return replace(found, entry=replace(found.entry, reason="ssh-certificate"))
    return found


def _armoured(text: bytes) -> Iterator[Passage]:
    for block in _ARMOUR.finditer(text):
        ending = b"---- END SSH2 " + block[1]
        end = text.find(ending, block.end(), block.end() + _ARMOURED_BYTES)
        if end < 0:
            continue
        body = text[block.end() : end]
        comment = _COMMENT.search(body)
        name = comment[1].strip() if comment else b""
        while header := _HEADER.match(body):
            body = body[header.end() :]
        if block[1] == b"PUBLIC KEY":
            found = _key(body, b"", name)
        else:
            found = _foreign_private_key(body, name)
        # In the source of programs that write such files stands the label alone.
        reason = "" if found or not _ENCODED.match(body) else "malformed-public-key"
        yield Passage(block.start(), end, (found,) if found else (), reason)


def _foreign_private_key(encoded: bytes, name: bytes) -> Found | None:
    """Report a private key in the form of ssh.com, which hides its public half even in the clear."""
    try:
        data = binascii.a2b_base64(encoded)
    except binascii.Error:
        return None
    if not data.startswith(_SSH_COM_MAGIC):
        return None
    if b"\0\0\0\x04none" in data[:256]:
        algorithm = "rsa" if b"rsa" in data[:128] else "dsa" if b"dl-modp" in data[:128] else ""
        return opaque_key(algorithm, name, "no-public-half")
    return sealed_key(data, name)
