"""Open one file safely, look at its first bytes, and send what may hold something to the parser.

Runs in the reader, on files of strangers. What is opened is what the walk saw: relative to the
directory's descriptor, through no link, without blocking, a regular file of the same inode. Sizes
are never believed: reading stops at a cap or where the file ends. Most files are left after one
system call that reads 16 KiB.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from keycensus_agent.descriptors import OpenFile
from keycensus_agent.model import Coverage, FileFacts, Gap, Parsed, Status
from keycensus_agent.parser.archive.policy import is_searched
from keycensus_agent.parser.triage import (
    BINARY_CAP,
    CONFIGURATION_TEXT_CAP,
    HEAD_BYTES,
    Search,
    Triage,
    holds_marker,
    text_place,
    triage,
)
from keycensus_agent.reader.archives import has_zip, open_again
from keycensus_agent.reader.discovery.directory import Directory
from keycensus_agent.reader.discovery.links import errno_name
from keycensus_agent.reader.facts import file_facts
from keycensus_agent.reader.key_names import is_key_like
from keycensus_agent.reader.unopened import unopened_in

# A public Ed25519 key, the smallest thing that is ever found, has 44 bytes as DER.
SMALLEST_BYTES = 44
# What the first read asks for: three files of four end within it, and cost no second one.
FIRST_BYTES = 16 * 1024
# A file that changes while it is read is read once more, then taken as it is.
ATTEMPTS = 2
# Unreadable files of one directory that get a gap each; the rest is counted in one.
GAPS_PER_DIRECTORY = 16

_OPEN_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
# Errors of a name that is gone, or a link, socket, directory or pipe by now.
_NO_FILE = frozenset({"ENOENT", "ELOOP", "ENXIO", "ENOTDIR", "EISDIR"})
_SKIP, _TEXT = Triage.SKIP, Triage.TEXT


class Parser(Protocol):
    """What the inspector needs of the parser's client."""

    def submit(self, ticket: int, data: bytes, name: bytes) -> None:
        """Hand a file's bytes over; its result comes later, under `ticket`. May wait for room."""
        ...

    def submit_archive(self, ticket: int, archive: OpenFile, name: bytes) -> None:
        """Hand over an archive that is open; it is closed when its result was taken."""
        ...

    def results(self, *, wait: bool) -> list[tuple[int, Parsed]]:
        """Return results that are there; with `wait`, at least one if any file is in flight."""
        ...


@dataclass(frozen=True, slots=True)
class Inspected:
    """One file that was sent to the parser, or could not be read although its name promises much.

    `parsed` is None if it held nothing after all. `changed` says that the file changed while it was
    read, twice: what was parsed may never have been on the disk as a whole.
    """

    path: bytes
    facts: FileFacts
    parsed: Parsed | None
    changed: bool = False


@dataclass(frozen=True, slots=True)
class _InFlight:
    path: bytes
    facts: FileFacts
    truncated: bool
    changed: bool
    archive: OpenFile | None = None
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class _Content:
    """A file's bytes up to the cap; `truncated` if there are more of them."""

    data: bytes
    facts: os.stat_result
    truncated: bool
    changed: bool


class Inspector:
    """Inspects files one by one; what it finds goes to `sink`, what it can't see to `coverage`.

    `is_known` tells whether something was found at a path before: such a file is never passed over
    in silence when it can't be read. After `finish()` it may be used on.
    """

    def __init__(
        self,
        parser: Parser,
        sink: Callable[[Inspected], None],
        coverage: Coverage,
        *,
        is_known: Callable[[bytes], bool] = lambda _: False,
    ) -> None:
        self._parser = parser
        self._sink = sink
        self._coverage = coverage
        self._is_known = is_known
        self._in_flight: dict[int, _InFlight] = {}
        self._next_ticket = 1
        # Reading leaves no trace where the kernel lets us: on own files, and as root on all.
        self._flags = _OPEN_FLAGS | os.O_NOATIME
        self._refused_in = (b"", 0)
        self.files_opened = 0
        # Files that are there and could not be opened or read, so far.
        self.refused = 0
        self._counted_opened = self._bytes_read = self._binary_skipped = self._too_small = 0

    def inspect(self, directory: Directory, name: str, size: int) -> bool:
        """Look at the regular file `name` of an open directory, which had `size` bytes when listed (-1: not asked).

        False: it holds nothing that is looked for (or can't be read, which is a gap). True: `sink`
        is called exactly once for it, now or by a later call, at the latest by `finish()`.
        """
        if 0 <= size < SMALLEST_BYTES:
            self._too_small += 1
            return False
        return self.inspect_all(directory, (name,)) > 0

    def inspect_all(self, directory: Directory, names: Sequence[str]) -> int:
        """Look at regular files of an open directory; return for how many `sink` is called.

        The hot loop of every first sweep: three system calls and few bytecodes for most files.
        """
        directory_fd, opened, too_small, skipped, taken = directory.fd, 0, 0, 0, 0
        place = text_place(directory.path.rstrip(b"/") + b"/")
        for name in self._to_open(directory, names):
            try:
                fd = os.open(name, self._flags, dir_fd=directory_fd)
            except OSError as error:
                retried = self._open_again(directory_fd, name, error)
                if retried is None:
                    taken += self._refused(directory, name, error)
                    continue
                fd = retried
            try:
                data = os.read(fd, FIRST_BYTES)
                opened += 1
                size = len(data)
                self._bytes_read += size
                if size < SMALLEST_BYTES:
                    too_small += 1
                    continue
                if size == FIRST_BYTES:
                    size = os.lseek(fd, 0, os.SEEK_END)
                verdict = triage(data[:HEAD_BYTES], size)
                if verdict is _SKIP:
                    skipped += 1
                elif verdict is not _TEXT or (
                    holds_marker(data, place.search_of(name))
                    if size < FIRST_BYTES
                    else self._is_marked(fd, size, place.cap, place.search_of(name))
                ):
                    taken += self._take_in(fd, _path(directory, name), verdict)
            except OSError as error:
                taken += self._refused(directory, name, error)
            finally:
                os.close(fd)
        self.files_opened += opened
        self._too_small += too_small
        self._binary_skipped += skipped
        return taken

    def finish(self) -> None:
        """Wait for everything in flight, and bring the coverage's counters up to date."""
        while self._in_flight:
            self._take_results(wait=True)
        for name, value in (
            ("bytes-read", self._bytes_read),
            ("binary-skipped", self._binary_skipped),
            ("too-small", self._too_small),
            ("files-opened", self.files_opened - self._counted_opened),
        ):
            if value:
                self._coverage.count(name, value)
        self._bytes_read = self._binary_skipped = self._too_small = 0
        self._counted_opened = self.files_opened

    def _to_open(self, directory: Directory, names: Sequence[str]) -> Sequence[str]:
        """Return the names without those that are passed over unopened, which are counted."""
        for rule in unopened_in(directory.path).rules:
            kept = [name for name in names if not name.endswith(rule.endings)]
            if len(kept) < len(names):
                self._coverage.count(rule.counter, len(names) - len(kept))
                names = kept
        return names

    # --- reading ------------------------------------------------------------------------------

    def _open_again(self, directory_fd: int, name: str, error: OSError) -> int | None:
        """Open without O_NOATIME, which the kernel grants to owners only; None if that is not it."""
        if not isinstance(error, PermissionError) or not self._flags & os.O_NOATIME:
            return None
        try:
            fd = os.open(name, _OPEN_FLAGS, dir_fd=directory_fd)
        except OSError:
            return None
        self._flags = _OPEN_FLAGS  # most files will be like this one
        return fd

    def _is_marked(self, fd: int, size: int, cap: int, search: Search) -> bool:
        """Search a text that the first read may have left a part of, up to its cap."""
        data, truncated = self._read_up_to(fd, size, cap)
        # A script may be the front of a zip.
        marked = holds_marker(data, search) or (data[:2] == b"#!" and b"\0" in data)
        if truncated and not marked:
            self._coverage.count("text-too-long")
        return marked

    def _take_in(self, fd: int, path: bytes, verdict: Triage) -> bool:
        """Read a file that may hold something, with care, and hand it to the parser."""
        if verdict is Triage.ARCHIVE and not is_searched(path):
            self._coverage.count("archives-not-searched")
            return False
        before = os.fstat(fd)
        if not stat.S_ISREG(before.st_mode):
            self._coverage.gaps.append(Gap(path, "changed-while-read", "replaced"))
            return False
        return self._take_in_regular(fd, path, verdict, before)

    def _take_in_regular(
        self, fd: int, path: bytes, verdict: Triage, before: os.stat_result
    ) -> bool:
        if verdict is Triage.PROGRAM and not has_zip(fd, before.st_size):
            self._binary_skipped += 1
            return False
        if verdict is Triage.PROGRAM or verdict is Triage.ARCHIVE:
            return self._hand_over(fd, path, before)
        # Where something was found, more is to be expected: bundles are long anywhere.
        cap = CONFIGURATION_TEXT_CAP if verdict is _TEXT else BINARY_CAP
        # The first part of a long text still tells much; that of a keystore tells nothing.
        if verdict is not _TEXT and before.st_size > cap:
            self._sink(Inspected(path, file_facts(before), _too_big()))
            return True
        content = self._read_whole(fd, before, cap)
        if content.data[:2] == b"#!" and has_zip(fd, content.facts.st_size):
            return self._hand_over(fd, path, content.facts)
        self._submit(path, content)
        return True

    def _hand_over(self, fd: int, path: bytes, facts: os.stat_result) -> bool:
        if not is_searched(path):
            self._coverage.count("archives-not-searched")
            return False
        self._coverage.count("archives-searched")
        archive = open_again(fd, facts.st_size)
        self._send_archive(_InFlight(path, file_facts(facts), False, False, archive), archive)
        return True

    def _send_archive(self, file: _InFlight, archive: OpenFile) -> None:
        ticket = self._enter(file)
        self._parser.submit_archive(ticket, archive, file.path)
        self._take_results(wait=False)

    def _settle(self, file: _InFlight, archive: OpenFile) -> _InFlight | None:
        """Return the archive as it was read; None if it changed meanwhile and is read once more."""
        after = os.fstat(archive.descriptor)
        if _marks(after) == (file.facts.size, file.facts.mtime_ns, file.facts.ctime_ns):
            archive.close()
            return file
        again = replace(file, facts=file_facts(after), attempt=file.attempt + 1)
        if file.attempt < ATTEMPTS:
            with_new_size = open_again(archive.descriptor, after.st_size)
            self._send_archive(replace(again, archive=with_new_size), with_new_size)
        else:
            self._tell_changed(file.path)
        archive.close()
        return None if file.attempt < ATTEMPTS else replace(again, changed=True)

    def _tell_changed(self, path: bytes) -> None:
        self._coverage.count("changed-while-read")
        self._coverage.gaps.append(Gap(path, "changed-while-read"))

    def _read_whole(self, fd: int, facts: os.stat_result, cap: int) -> _Content:
        for _ in range(ATTEMPTS):
            data, truncated = self._read_up_to(fd, facts.st_size, cap)
            after = os.fstat(fd)
            changed = _marks(after) != _marks(facts)
            facts = after
            if not changed:
                break
        return _Content(data, facts, truncated, changed)

    def _read_up_to(self, fd: int, size: int, cap: int) -> tuple[bytes, bool]:
        """Read at most `cap` bytes, in one call if `size` is true; True if there are more."""
        data = os.pread(fd, min(size, cap) + 1, 0)
        pieces = [data]
        total = len(data)
        while size < total <= cap:  # it grows while we read
            piece = os.pread(fd, min(cap + 1 - total, 1 << 20), total)
            if not piece:
                break
            pieces.append(piece)
            total += len(piece)
        self._bytes_read += total
        if len(pieces) > 1:
            data = b"".join(pieces)
        return (data[:cap], True) if total > cap else (data, False)

    # --- parsing ------------------------------------------------------------------------------

    def _submit(self, path: bytes, content: _Content) -> None:
        if content.changed:
            self._tell_changed(path)
        facts = file_facts(content.facts)
        ticket = self._enter(_InFlight(path, facts, content.truncated, content.changed))
        self._parser.submit(ticket, content.data, path)
        self._take_results(wait=False)

    def _enter(self, file: _InFlight) -> int:
        ticket = self._next_ticket
        self._next_ticket += 1
        self._in_flight[ticket] = file
        return ticket

    def _take_results(self, *, wait: bool) -> None:
        for ticket, parsed in self._parser.results(wait=wait):
            self._deliver(self._in_flight.pop(ticket), parsed)

    def _deliver(self, file: _InFlight, parsed: Parsed) -> None:
        if file.archive is not None:
            settled = self._settle(file, file.archive)
            if settled is None:
                return
            file = settled
        for name, count in parsed.counters:
            self._coverage.count(name, count)
        result: Parsed | None = parsed if parsed.holds_something else None
        if file.truncated:
            self._coverage.count("text-too-long")
        cut = file.truncated and parsed.reason in ("", "unclosed-block")
        if result is not None and cut:
            # The block that the cap cut through is no damage of the file's.
            result = replace(result, status=Status.PARTIAL, reason="text-too-long")
        self._sink(Inspected(file.path, file.facts, result, file.changed))

    # --- trouble of the scanned host ------------------------------------------------------------

    def _refused(self, directory: Directory, name: str, error: OSError) -> bool:
        """Say that a file can't be read; one that vanished or became something else is no file."""
        reason = errno_name(error)
        if reason in _NO_FILE:
            return False
        path = _path(directory, name)
        self.refused += 1
        self._coverage.count("unreadable")
        if is_key_like(name) or self._is_known(path):
            facts = self._facts_of(directory, name)
            if facts is None:
                return False
            parsed = Parsed(format="", status=Status.UNREADABLE, reason=reason)
            self._sink(Inspected(path, facts, parsed))
            return True
        before = self._refused_in[1] if self._refused_in[0] == directory.path else 0
        self._refused_in = (directory.path, before + 1)
        if before < GAPS_PER_DIRECTORY:
            self._coverage.gaps.append(Gap(path, "unreadable", reason))
        elif before == GAPS_PER_DIRECTORY:
            self._coverage.gaps.append(Gap(directory.path, "unreadable", f"{reason}, many files"))
        return False

    def _facts_of(self, directory: Directory, name: str) -> FileFacts | None:
        """Return what lstat says of a file that can't be opened; None if it is none by now."""
        try:
            facts = os.stat(name, dir_fd=directory.fd, follow_symlinks=False)
        except OSError:
            return None
        return file_facts(facts) if stat.S_ISREG(facts.st_mode) else None


def _too_big() -> Parsed:
    return Parsed(format="", status=Status.TOO_BIG, reason="limit-size")


def _marks(facts: os.stat_result) -> tuple[int, int, int]:
    return facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns


def _path(directory: Directory, name: str) -> bytes:
    raw = os.fsencode(name)
    return directory.path + b"/" + raw if directory.path != b"/" else b"/" + raw
