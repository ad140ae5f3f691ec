"""Private keys that everybody has: published in the test suites of libraries, known by their key ids.

The list is data of this package, made by `agent/build_known_keys.py` from the sources that it names. Such a key is
shown as what it is, and never left out: on a server that uses it, it protects nothing.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

_LIST = "known_keys.txt"


def known_key(key_id: bytes) -> str:
    """Return where the private key of this key id is published: "openssl 3.0.20, test/certs/ca-key.pem"; or ""."""
    return _sources().get(key_id.hex(), "") if key_id else ""


@cache
def _sources() -> dict[str, str]:
    text = resources.files(__package__).joinpath(_LIST).read_text("utf-8")
    lines = (line.partition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {key_id: source for key_id, _, source in lines}
