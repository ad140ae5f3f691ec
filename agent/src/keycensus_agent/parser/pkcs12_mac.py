"""Ask the MAC of a PKCS#12 file which password it was made with: a third of the work of trying to open a part.

Pure, on hostile bytes and secrets. What this does not know (PBMAC1, other hashes, a MAC that asks for too much
work) decides nothing: the parts themselves say more. Sources: RFC 7292, 4 and appendix B.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from typing import NamedTuple

from keycensus_agent.parser import der
from keycensus_agent.parser.derivation import IterationBudget, Pkcs12Derivation
from keycensus_agent.parser.sealing import bmp_spellings

# By OID; a key is as long as the hash.
_HASHES = {
    "1.3.14.3.2.26": "sha1",
    "2.16.840.1.101.3.4.2.4": "sha224",
    "2.16.840.1.101.3.4.2.1": "sha256",
    "2.16.840.1.101.3.4.2.2": "sha384",
    "2.16.840.1.101.3.4.2.3": "sha512",
}
_PURPOSE = 3
# Iterations that are spent on the MAC of one file, over all candidates; and where there is no password but the empty
# and the absent one, which are tried on one part only: Java makes more of them for the MAC than for the parts.
_ITERATIONS = 3_000_000
_ITERATIONS_FOR_NONE = 10_000


class MacAnswer(NamedTuple):
    """What a MAC says of the candidates."""

    known: bool
    """Whether it could be asked; if not, it says nothing of anything."""
    password: str | None = None
    """The one it was made with; None is the absent one."""
    verified: bool = False
    """Whether there was one."""


_UNKNOWN = MacAnswer(known=False)


def ask_mac(
    data: bytes, mac_data: der.Element, safes: bytes, passwords: Iterable[str | None]
) -> MacAnswer:
    """Return which of the candidates made the MAC over the bytes of AuthenticatedSafe; never raises."""
    try:
        fields = der.expect(data, mac_data, der.SEQUENCE, der.OCTET_STRING)
        algorithm, stored = der.expect(data, fields[0], der.SEQUENCE, der.OCTET_STRING)
        oid = der.dotted(data, der.expect(data, algorithm, der.OBJECT_IDENTIFIER)[0])
        salt = der.content(data, fields[1])
        iterations = der.integer(data, fields[2]) if len(fields) > 2 else 1
        candidates = tuple(passwords)
        limit = _ITERATIONS if any(candidates) else _ITERATIONS_FOR_NONE
        if oid not in _HASHES or iterations * len(candidates) > limit:
            return _UNKNOWN
        digest = _HASHES[oid]
        size = hashlib.new(digest).digest_size
        budget, wanted = IterationBudget(_ITERATIONS), der.content(data, stored)
        for password in candidates:
            for secret in bmp_spellings(password):
                key = Pkcs12Derivation(secret, salt, iterations, budget, digest)(_PURPOSE, size)
                if hmac.compare_digest(hmac.digest(key, safes, digest), wanted):
                    return MacAnswer(known=True, password=password, verified=True)
    except ValueError:  # DerError and LimitError among them
        return _UNKNOWN
    return MacAnswer(known=True)
