"""Enrolment tokens: one line of text, `kc1.<id>.<secret>.<pin>` (protos/README.md, section 4.1).

Pure. The secret is in no repr and in no error text.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field

from keycensus_agent.errors import UsageError

_PREFIX = "kc1"
# Field → its length in bytes.
_LENGTHS = {"id": 8, "secret": 24, "pin": 32}
# No token is near it: a longer file is another one by mistake.
TOKEN_TEXT_LIMIT = 4096

_GET_ANOTHER = (
    "copy the token again, whole, or make another with `keycensus-collector token create`"
)


@dataclass(frozen=True, slots=True)
class Token:
    """A parsed token. `pin` is SHA-256 of the SubjectPublicKeyInfo of the deployment's anchor."""

    id: str
    secret: str = field(repr=False)
    pin: bytes

    @property
    def credential(self) -> str:
        """What is sent to the collector; the pin stays here."""
        return f"{self.id}.{self.secret}"


def parse_token(text: str) -> Token:
    """Return the token; UsageError says what is wrong with it, never showing it."""
    words = text.split()
    if not words:
        raise UsageError(f"the token is empty: {_GET_ANOTHER}")
    if len(words) > 1:
        raise UsageError(f"this is not one token but {len(words)} words: {_GET_ANOTHER}")
    parts = words[0].split(".")
    if parts[0] != _PREFIX:
        newer = parts[0].startswith("kc") and parts[0][2:].isdigit()
        why = (
            "this token is of a kind that this agent does not know yet: upgrade keycensus-agent"
            if newer
            else f'this is no enrolment token, which starts with "{_PREFIX}.": {_GET_ANOTHER}'
        )
        raise UsageError(why)
    if len(parts) != 1 + len(_LENGTHS):
        raise UsageError(f"the token has {len(parts)} parts instead of 4: {_GET_ANOTHER}")
    decoded = {
        name: _decode(name, part, length)
        for part, (name, length) in zip(parts[1:], _LENGTHS.items(), strict=True)
    }
    return Token(id=parts[1], secret=parts[2], pin=decoded["pin"])


def _decode(name: str, part: str, length: int) -> bytes:
    try:
        padded = part + "=" * (-len(part) % 4)
        value = base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError):
        value = b""
    # Only the one spelling that encodes to itself: a cut or mistyped token must not pass.
    if len(value) != length or base64.urlsafe_b64encode(value).rstrip(b"=") != part.encode():
        raise UsageError(f"the {name} of the token is damaged or cut off: {_GET_ANOTHER}")
    return value
