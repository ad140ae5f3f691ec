"""What Python imports by itself, late, in a link: named here, because later no file opens for it.

Runs in the link, before it gives up the file system. Where the interpreter is for root alone, the
tests with a real link fail for whatever is missing here.
"""

from __future__ import annotations

import importlib

_LATE = (
    # The codec of host names, at the first look-up.
    "encodings.idna",
    # asyncio's threads, in which a failed connection is explained.
    "concurrent.futures.thread",
    # At the first key that cryptography loads.
    "cryptography.hazmat.backends.openssl.backend",
)


def preload() -> None:
    """Import them."""
    for name in _LATE:
        importlib.import_module(name)
