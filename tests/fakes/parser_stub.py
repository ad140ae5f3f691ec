"""A parser for tests of the reader: no process, answers that the test chooses."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from keycensus_agent.descriptors import OpenFile
from keycensus_agent.model import Entry, EntryKind, Parsed, Status


def one_certificate(data: bytes) -> Parsed:
    """Give a result with one certificate whose hash is that of the bytes; nothing for b"nothing"."""
    if b"nothing" in data:
        return Parsed("", Status.READ)
    digest = hashlib.sha256(data).digest()
    entry = Entry(EntryKind.CERTIFICATE, digest, size=len(data))
    return Parsed("pem", Status.READ, entries=(entry,), manifest=digest)


class ParserStub:
    """Answers in order, at once or when waited for. `parsed` holds the names it was given."""

    def __init__(
        self, answer: Callable[[bytes], Parsed] = one_certificate, *, lazy: bool = False
    ) -> None:
        self._answer = answer
        self._lazy = lazy
        self._done: list[tuple[int, Parsed]] = []
        self.parsed: list[bytes] = []
        self.received: list[bytes] = []

    def submit(self, ticket: int, data: bytes, name: bytes) -> None:
        self.parsed.append(name)
        self.received.append(data)
        self._done.append((ticket, self._answer(data)))

    def submit_archive(self, ticket: int, archive: OpenFile, name: bytes) -> None:
        self.submit(ticket, archive.read_at(0, archive.size), name)

    def results(self, *, wait: bool) -> list[tuple[int, Parsed]]:
        if self._lazy and not wait:
            return []
        done, self._done = self._done, []
        return done
