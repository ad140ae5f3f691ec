"""Remember what was costly to find out, for files that are there more than once.

A machine has its container images, checkouts and environments several times, and a locked store costs a
key derivation for each password tried. Runs in the parser; keeps public results only.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable

from keycensus_agent.model import Parsed
from keycensus_agent.parser.pipe import ParseRequest

# Below this (seconds of CPU) finding out again is as quick as looking up.
_COSTLY_SECONDS = 0.002
_KEPT_RESULTS = 512
# Bytes of public blobs that one result may carry to be kept.
_KEPT_BYTES = 64 * 1024


class CostlyResults:
    """The results of the last costly files, by content and by everything else that decides."""

    def __init__(self) -> None:
        self._kept: OrderedDict[bytes, Parsed] = OrderedDict()

    def get(self, request: ParseRequest, find: Callable[[], Parsed]) -> Parsed:
        """Return the result for a request, from memory or by `find`."""
        key = _key(request)
        known = self._kept.get(key)
        if known is not None:
            self._kept.move_to_end(key)
            return known
        started = time.process_time()
        parsed = find()
        costly = time.process_time() - started > _COSTLY_SECONDS
        if costly and sum(len(blob.data) for blob in parsed.blobs) <= _KEPT_BYTES:
            self._kept[key] = parsed
            if len(self._kept) > _KEPT_RESULTS:
                self._kept.popitem(last=False)
        return parsed


def _key(request: ParseRequest) -> bytes:
    # Of the name only the ending is a hint to formats.
    ending = request.name.rpartition(b".")[2][-16:]
    digest = hashlib.sha256(request.data)
    for part in (ending, b"1" if request.details else b"0", *map(_encoded, request.passwords)):
        digest.update(len(part).to_bytes(4, "big") + part)
    return digest.digest()


def _encoded(password: str) -> bytes:
    return password.encode("utf-8", "surrogateescape")
