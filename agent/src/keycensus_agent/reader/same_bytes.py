"""Parse the same bytes once, however many names, copies and hard links of them there are.

Runs in the reader, before the parser's client. A machine has its environments, images and bundles
several times, and a locked store costs a key derivation for each password tried. What is compared is
a digest of the content with everything else that decides: the file's own name, which is a hint to
formats, and the candidate passwords for its path. Only public results are kept, and for a while.
"""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from collections.abc import Iterable

from keycensus_agent.descriptors import OpenFile
from keycensus_agent.model import Parsed, Status
from keycensus_agent.parser.archive.policy import selection_in
from keycensus_agent.parser.triage import text_cap
from keycensus_agent.reader.inspect import Parser
from keycensus_agent.reader.passwords import NO_PASSWORDS, PasswordFile

# What the kept results may weigh together, in bytes; a certificate with its entry, its text and its
# DER weighs about 3 KiB. A bundle of all authorities fits a few times.
_KEPT_BYTES = 4 * 1024 * 1024
# Likewise of what is locked: it costs a hundred times as much to look at again, and weighs little, but
# a few bundles would push it out.
_LOCKED_BYTES = 2 * 1024 * 1024
_ENTRY_BYTES = 1536


class SameBytes:
    """A parser that hands only content that it has not seen lately to the parser behind it."""

    def __init__(
        self,
        parser: Parser,
        passwords: PasswordFile = NO_PASSWORDS,
        *,
        kept_bytes: int = _KEPT_BYTES,
    ) -> None:
        self._parser = parser
        self._passwords = passwords
        self._kept = _Kept(kept_bytes)
        self._locked = _Kept(_LOCKED_BYTES)
        # Content that is being parsed: the tickets that wait for it, the first of them sent on.
        self._waiting: dict[bytes, list[int]] = {}
        self._content_of: dict[int, bytes] = {}
        self._ready: list[tuple[int, Parsed]] = []

    def submit(self, ticket: int, data: bytes, name: bytes) -> None:
        """See `Parser.submit`."""
        content = _digest(data, name, self._passwords.passwords_for(name))
        if self._is_new(ticket, content):
            self._parser.submit(ticket, data, name)

    def submit_archive(self, ticket: int, archive: OpenFile, name: bytes) -> None:
        """See `Parser.submit_archive`: of archives only hard links are known to be the same."""
        facts = os.fstat(archive.descriptor)
        file = (facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
        # What is searched, and how far, depends on where the archive is.
        selection = selection_in(name)
        where = (sorted(selection.passed_over), selection.promising, text_cap(name))
        data = repr((file, where)).encode()
        content = _digest(data, name, self._passwords.passwords_for(name))
        if self._is_new(ticket, content):
            self._parser.submit_archive(ticket, archive, name)

    def _is_new(self, ticket: int, content: bytes) -> bool:
        """Tell whether content has to be parsed; if not, its result comes with another's."""
        known = self._kept.get(content) or self._locked.get(content)
        if known is not None:
            self._ready.append((ticket, known))
        elif content in self._waiting:
            self._waiting[content].append(ticket)
        else:
            self._waiting[content] = [ticket]
            self._content_of[ticket] = content
            return True
        return False

    def results(self, *, wait: bool) -> list[tuple[int, Parsed]]:
        """See `Parser.results`."""
        results, self._ready = self._ready, []
        for ticket, parsed in self._parser.results(wait=wait and not results):
            content = self._content_of.pop(ticket)
            results += [(waiting, parsed) for waiting in self._waiting.pop(content)]
            kept = self._locked if parsed.status is Status.LOCKED else self._kept
            kept.keep(content, parsed)
        return results


class _Kept:
    """The results used last, up to a weight in bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._weight = 0
        self._results: OrderedDict[bytes, Parsed] = OrderedDict()

    def get(self, content: bytes) -> Parsed | None:
        known = self._results.get(content)
        if known is not None:
            self._results.move_to_end(content)
        return known

    def keep(self, content: bytes, parsed: Parsed) -> None:
        weight = _weight(parsed)
        if weight > self._limit:
            return
        self._results[content] = parsed
        self._weight += weight
        while self._weight > self._limit:
            self._weight -= _weight(self._results.popitem(last=False)[1])


def _weight(parsed: Parsed) -> int:
    return _ENTRY_BYTES * (1 + len(parsed.entries)) + sum(len(blob.data) for blob in parsed.blobs)


def _digest(data: bytes, name: bytes, passwords: Iterable[str]) -> bytes:
    digest = hashlib.sha256(data)
    for part in (name.rpartition(b"/")[2], *map(_encoded, passwords)):
        digest.update(len(part).to_bytes(4, "big") + part)
    return digest.digest()


def _encoded(password: str) -> bytes:
    return password.encode("utf-8", "surrogateescape")
