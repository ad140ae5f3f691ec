"""Open one file safely, look at its first bytes, and send what may hold something to the parser.

Runs in the reader, on files of strangers. What is opened is what the walk saw: relative to the
directory's descriptor, through no link, without blocking, a regular file of the same inode. Sizes
are never believed: reading stops at a cap or where the file ends. Most files are left after one
system call that reads 4 KiB.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

from keycensus_agent.descriptors import OpenFile
from keycensus_agent.model import Coverage, FileFacts, Gap, Parsed, Status
from keycensus_agent.parser.archive.policy import is_searched
from keycensus_agent.parser.triage import (
    BINARY_CAP,
    HEAD_BYTES,
    ZIP_END_BYTES,
    Triage,
    ends_as_zip,
    holds_marker,
    text_cap,
    triage,
)
from keycensus_agent.reader.discovery.directory import Directory
from keycensus_agent.reader.discovery.links import errno_name

# A public Ed25519 key, the smallest thing that is ever found, has 44 bytes as DER.
SMALLEST_BYTES = 44
# Results that are kept for other names of the same file.
HARD_LINK_LIMIT = 4096
# A file that changes while it is read is read once more, then taken as it is.
ATTEMPTS = 2
# Unreadable files of one directory that get a gap each; the rest is counted in one.
GAPS_PER_DIRECTORY = 16

_OPEN_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_KEY_LIKE_NAME = re.compile(
    r"\.(?:pem|key|crt|cer|cert|der|p12|pfx|jks|jceks|bks|bcfks|keystore|truststore|p7b|p7c|p7s|p8"
    r"|pk8|csr|crl|ppk|kdb|keytab)\Z"
    r"|\A(?:id_(?:rsa|dsa|ecdsa|ed25519)|ssh_host_.*_key|cacerts|(?:priv|full)?chain\d*|privkey\d*"
    r"|identity|server\.key.*|key[34]\.db|cert[89]\.db)\Z",
    re.IGNORECASE,
)


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


@dataclass(slots=True)
class _Shared:
    """What is known of a file with several names: names that wait for it, then its result."""

    waiting: list[tuple[bytes, FileFacts]] = field(default_factory=list)
    done: bool = False
    parsed: Parsed | None = None


@dataclass(frozen=True, slots=True)
class _InFlight:
    path: bytes
    facts: FileFacts
    truncated: bool
    changed: bool
    shared: _Shared | None
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
        self._shared: dict[tuple[int, int, int, int], _Shared] = {}
        # Reading leaves no trace where the kernel lets us: on own files, and as root on all.
        self._flags = _OPEN_FLAGS | os.O_NOATIME
        self._refused_in = (b"", 0)
        self.files_opened = 0
        # Files that are there and could not be opened or read, so far.
        self.refused = 0
        self._counted_opened = self._bytes_read = self._binary_skipped = self._too_small = 0

    def inspect(self, directory: Directory, name: str, facts: os.stat_result) -> bool:
        """Look at the regular file `name` of an open directory; `facts` are its lstat.

        False: it holds nothing that is looked for (or can't be read, which is a gap). True: `sink`
        is called exactly once for it, now or by a later call, at the latest by `finish()`.
        """
        if facts.st_size < SMALLEST_BYTES:
            self._too_small += 1
            return False
        shared = None
        if facts.st_nlink > 1:
            shared = self._shared.get(_shared_key(facts))
            if shared is not None:
                self._join(shared, _path(directory, name), facts)
                return True
        try:
            fd = os.open(name, self._flags, dir_fd=directory.fd)
        except OSError as error:
            retried = self._open_again(directory.fd, name, error)
            if retried is None:
                return self._refused(directory, name, facts, error)
            fd = retried
        try:
            head = os.read(fd, HEAD_BYTES)
            self.files_opened += 1
            self._bytes_read += len(head)
            verdict = triage(head, facts.st_size)
            if verdict is _SKIP:
                self._binary_skipped += 1
            elif verdict is not _TEXT or self._is_marked(fd, directory, name, facts, head):
                return self._take_in(fd, _path(directory, name), facts, verdict)
            return False
        except OSError as error:
            return self._refused(directory, name, facts, error)
        finally:
            os.close(fd)

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

    def forget_shared(self) -> None:
        """Read files anew whose other names were read before; nothing may be in flight."""
        self._shared.clear()

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

    def _is_marked(
        self, fd: int, directory: Directory, name: str, facts: os.stat_result, head: bytes
    ) -> bool:
        """Search text for the start of a PEM block, up to its cap. Nearly all text ends here."""
        if len(head) < HEAD_BYTES:
            return holds_marker(head)
        if head[:2] == b"#!" and _has_zip(fd, facts.st_size):
            return True
        data, truncated = self._read_up_to(fd, facts.st_size, text_cap(_path(directory, name)))
        if truncated:
            self._coverage.count("text-too-long")
        return holds_marker(data)

    def _take_in(self, fd: int, path: bytes, seen: os.stat_result, verdict: Triage) -> bool:
        """Read a file that may hold something, with care, and hand it to the parser."""
        before = os.fstat(fd)
        if not stat.S_ISREG(before.st_mode):
            self._coverage.gaps.append(Gap(path, "changed-while-read", "replaced"))
            return False
        if verdict is Triage.ARCHIVE or (
            verdict is Triage.PROGRAM and _has_zip(fd, before.st_size)
        ):
            return self._hand_over(fd, path, seen, before)
        if verdict is Triage.PROGRAM:
            self._binary_skipped += 1
            return False
        cap = text_cap(path) if verdict is _TEXT else BINARY_CAP
        # The first part of a long text still tells much; that of a keystore tells nothing.
        if verdict is not _TEXT and before.st_size > cap:
            self._sink(Inspected(path, file_facts(before), _too_big()))
            return True
        content = self._read_whole(fd, before, cap)
        if verdict is _TEXT and content.data[:2] == b"#!" and _has_zip(fd, content.facts.st_size):
            return self._hand_over(fd, path, seen, content.facts)
        if content.changed:
            self._tell_changed(path)
        self._submit(path, seen, content)
        return True

    def _hand_over(
        self, fd: int, path: bytes, seen: os.stat_result, before: os.stat_result
    ) -> bool:
        """Let the parser read an archive by itself: it may be larger than what memory allows."""
        if not is_searched(path):
            self._coverage.count("archives-not-searched")
            return False
        self._coverage.count("archives-searched")
        facts = file_facts(before)
        archive = OpenFile(os.dup(fd), before.st_size)
        file = _InFlight(path, facts, False, False, self._share(seen, facts), archive)
        self._send_archive(file, archive)
        return True

    def _send_archive(self, file: _InFlight, archive: OpenFile) -> None:
        ticket = self._enter(file)
        self._parser.submit_archive(ticket, archive, file.path)
        self._take_results(wait=False)

    def _archive_rests(self, file: _InFlight, archive: OpenFile) -> _InFlight | None:
        """Return the file as it was read to the end; None if it changed and is read once more."""
        after = os.fstat(archive.descriptor)
        facts = file_facts(after)
        if (facts.size, facts.mtime_ns, facts.ctime_ns) == (
            file.facts.size,
            file.facts.mtime_ns,
            file.facts.ctime_ns,
        ):
            archive.close()
            return file
        if file.attempt < ATTEMPTS:
            again = OpenFile(os.dup(archive.descriptor), after.st_size)
            archive.close()
            self._send_archive(
                replace(file, facts=facts, archive=again, attempt=file.attempt + 1), again
            )
            return None
        archive.close()
        self._tell_changed(file.path)
        return replace(file, facts=facts, changed=True)

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

    def _submit(self, path: bytes, seen: os.stat_result, content: _Content) -> None:
        facts = file_facts(content.facts)
        shared = self._share(seen, facts)
        ticket = self._enter(_InFlight(path, facts, content.truncated, content.changed, shared))
        self._parser.submit(ticket, content.data, path)
        self._take_results(wait=False)

    def _share(self, seen: os.stat_result, facts: FileFacts) -> _Shared | None:
        """Return where the file's other names find its result, if it has some."""
        as_seen = (facts.inode, facts.ctime_ns) == (seen.st_ino, seen.st_ctime_ns)
        if facts.link_count < 2 or not as_seen or len(self._shared) >= HARD_LINK_LIMIT:
            return None
        shared = self._shared[_shared_key(seen)] = _Shared()
        return shared

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
            read = self._archive_rests(file, file.archive)
            if read is None:
                return
            file = read
        for name, count in parsed.counters:
            self._coverage.count(name, count)
        result: Parsed | None = parsed if parsed.holds_something else None
        if result is not None and file.truncated and result.status is Status.READ:
            result = replace(result, status=Status.PARTIAL, reason="text-too-long")
        self._sink(Inspected(file.path, file.facts, result, file.changed))
        if file.shared is not None:
            file.shared.done, file.shared.parsed = True, result
            for path, facts in file.shared.waiting:
                self._sink(Inspected(path, facts, result))
            file.shared.waiting.clear()

    def _join(self, shared: _Shared, path: bytes, facts: os.stat_result) -> None:
        self._coverage.count("hard-links")
        if shared.done:
            self._sink(Inspected(path, file_facts(facts), shared.parsed))
        else:
            shared.waiting.append((path, file_facts(facts)))

    # --- trouble of the scanned host ------------------------------------------------------------

    def _refused(
        self, directory: Directory, name: str, facts: os.stat_result, error: OSError
    ) -> bool:
        """Say that a file can't be read; one that vanished or became something else is no file."""
        reason = errno_name(error)
        if reason in _NO_FILE:
            return False
        path = _path(directory, name)
        self.refused += 1
        self._coverage.count("unreadable")
        if is_key_like(name) or self._is_known(path):
            parsed = Parsed(format="", status=Status.UNREADABLE, reason=reason)
            self._sink(Inspected(path, file_facts(facts), parsed))
            return True
        before = self._refused_in[1] if self._refused_in[0] == directory.path else 0
        self._refused_in = (directory.path, before + 1)
        if before < GAPS_PER_DIRECTORY:
            self._coverage.gaps.append(Gap(path, "unreadable", reason))
        elif before == GAPS_PER_DIRECTORY:
            self._coverage.gaps.append(Gap(directory.path, "unreadable", f"{reason}, many files"))
        return False


def is_key_like(name: str) -> bool:
    """Tell whether a file's name promises a certificate, a key or a store of them."""
    return _KEY_LIKE_NAME.search(name) is not None


def file_facts(facts: os.stat_result) -> FileFacts:
    """Take over what is kept of a stat result."""
    return FileFacts(
        device=facts.st_dev,
        inode=facts.st_ino,
        mode=facts.st_mode,
        uid=facts.st_uid,
        gid=facts.st_gid,
        size=facts.st_size,
        mtime_ns=facts.st_mtime_ns,
        ctime_ns=facts.st_ctime_ns,
        link_count=facts.st_nlink,
    )


def _shared_key(facts: os.stat_result) -> tuple[int, int, int, int]:
    return facts.st_dev, facts.st_ino, facts.st_size, facts.st_ctime_ns


def _has_zip(fd: int, size: int) -> bool:
    """Tell whether a program, or a script, is the front of a zip."""
    return ends_as_zip(os.pread(fd, ZIP_END_BYTES, max(0, size - ZIP_END_BYTES)))


def _too_big() -> Parsed:
    return Parsed(format="", status=Status.TOO_BIG, reason="limit-size")


def _marks(facts: os.stat_result) -> tuple[int, int, int]:
    return facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns


def _path(directory: Directory, name: str) -> bytes:
    raw = os.fsencode(name)
    return directory.path + b"/" + raw if directory.path != b"/" else b"/" + raw
