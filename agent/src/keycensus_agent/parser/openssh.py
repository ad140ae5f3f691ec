"""OpenSSH's own private-key format: the public half stands in the clear, also when encrypted.

Parser side: pure, on hostile bytes; the private part is not looked at. Source: PROTOCOL.key of
OpenSSH.
"""

from __future__ import annotations

from keycensus_agent.parser.findings import Found, opaque_key, private_key, security_key
from keycensus_agent.parser.private_key import MalformedKeyError
from keycensus_agent.parser.public_key import key_facts
from keycensus_agent.parser.ssh_wire import Wire, WireError, read_public

_MAGIC = b"openssh-key-v1\0"
# More keys than any file has: ssh-keygen writes one.
_KEYS_LIMIT = 64


def read_openssh_key(data: bytes) -> list[Found]:
    """Return an entry for each key of the file; MalformedKeyError if it is none."""
    try:
        return _keys(data)
    except WireError:
        raise MalformedKeyError("malformed-private-key") from None


def _keys(data: bytes) -> list[Found]:
    if not data.startswith(_MAGIC):
        raise WireError("no key")
    wire = Wire(data[len(_MAGIC) :])
    cipher, _derivation, _options = wire.string(), wire.string(), wire.string()
    count = wire.number()
    if not 0 < count <= _KEYS_LIMIT:
        raise WireError("no key")
    keys = [wire.string() for _ in range(count)]
    # The private part must be there, or this is no private key.
    wire.string()
    return [ssh_private_key(key, encrypted=cipher != b"none") for key in keys]


def ssh_private_key(blob: bytes, member: bytes = b"", *, encrypted: bool) -> Found:
    """Return the entry of the private key whose public half is `blob`; WireError if it is none."""
    key = read_public(blob)
    if key.in_token:
        facts = key_facts(key.spki)
        return security_key(facts.algorithm, facts.curve)
    if not key.spki:
        return opaque_key(key.kind.decode("ascii", "replace")[:64], member)
    return private_key(key.spki, member, encrypted=encrypted)
