"""Look into an archive: each member through triage and the formats, as if it were a file.

Parser side, pure, on hostile bytes. What is in an archive is part of the manifest of the file, with its
member's name (`inner.jar!/META-INF/x.pem`), and behind another `!/` the name that it has in there, say an
alias. Whatever stops the search, what was found before stands.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

from keycensus_agent.model import Status
from keycensus_agent.parser.archive import effort as limits
from keycensus_agent.parser.archive.effort import Effort, StopSearch
from keycensus_agent.parser.archive.member import Damage, Member, Opened
from keycensus_agent.parser.archive.policy import selection_in
from keycensus_agent.parser.archive.streams import Plain, Source, Stream
from keycensus_agent.parser.archive.table import Archive, archive_of
from keycensus_agent.parser.findings import MEMBER_LIMIT, FormatResult, Found, Hint, Request
from keycensus_agent.parser.triage import HEAD_BYTES, Triage, holds_marker, text_place, triage

# Between an archive and what is in it, as Java writes it.
SEPARATOR = b"!/"
# A public Ed25519 key, the smallest thing that is ever found, has 44 bytes as DER.
_SMALLEST_BYTES = 44
# Reads a member's bytes as a file's are read.
ReadFormats = Callable[[bytes, Request], FormatResult]


@dataclass(frozen=True, slots=True)
class Searched:
    """What an archive holds, and counts of what was not looked at."""

    result: FormatResult
    counters: dict[str, int]


def search(
    source: Source, request: Request, read_formats: ReadFormats, clock: Callable[[], float]
) -> Searched:
    """Search the archive whose bytes are `source`; `clock` tells processor time in seconds."""
    return _Search(source, request, read_formats, clock).run()


class _Search:
    def __init__(
        self,
        source: Source,
        request: Request,
        read_formats: ReadFormats,
        clock: Callable[[], float],
    ) -> None:
        self._source = source
        self._request = request
        self._read_formats = read_formats
        self._effort = Effort(source.size, clock)
        self._selection = selection_in(request.hint.name)
        self._text_place = text_place(request.hint.name + SEPARATOR)
        self._format = ""
        self._found: list[Found] = []
        self._public: dict[bytes, bytes] = {}
        # What went wrong, in order: limits, what members' formats said, damage of the archive.
        self._limits: list[str] = []
        self._problems: list[tuple[Status, str]] = []
        self._damage: list[str] = []
        self._counters: Counter[str] = Counter()

    def run(self) -> Searched:
        """Search everything, and judge."""
        stream = Plain(self._source)
        head = stream.read(HEAD_BYTES)
        stream.unread(head)
        row = archive_of(head)
        self._format = row.name
        try:
            self._archive(row, stream, b"", self._request.hint.name, 1)
        except StopSearch as stop:
            self._limits.insert(0, str(stop))
        return Searched(self._conclude(), dict(self._counters))

    def _conclude(self) -> FormatResult:
        status, reason = Status.READ, ""
        if self._limits:
            status, reason = Status.PARTIAL, self._limits[0]
        elif self._problems:
            status, reason = self._problems[0]
            locked = all(each is Status.LOCKED for each, _ in self._problems)
            if self._found and not (locked and self._all_sealed()):
                status = Status.PARTIAL
        elif self._damage and self._found:
            status, reason = Status.PARTIAL, self._damage[0]
        elif self._damage:
            # Nothing of ours was in it as far as it goes: much on a disk is broken.
            self._counters["archives-damaged"] += 1
        return FormatResult(self._format, tuple(self._found), status, reason)

    def _all_sealed(self) -> bool:
        return all(item.blob_kind is None for item in self._found)

    def _archive(
        self, row: Archive, stream: Stream, prefix: bytes, name: bytes, depth: int
    ) -> None:
        """Look at the members of one archive; `name` is what it is called itself."""
        if row.read is None:
            self._counters[f"archives-not-searched-{row.name}"] += 1
            return
        if depth > limits.DEPTH_LIMIT:
            self._limits.append("limit-depth")
            return
        if stream.source is not None:
            stream = Plain(stream.source)
        opened = Opened(stream, self._effort, self._selection, self._count_passed)
        for member in row.read(opened):
            if isinstance(member, Damage):
                self._note(member.problem)
            elif row.single:
                bare = name.rpartition(b".")[0]
                self._member(member, prefix, bare, depth)
            else:
                full = prefix + SEPARATOR + member.name if prefix else member.name
                self._member(member, full, full, depth)

    def _count_passed(self, count: int) -> None:
        if count:
            self._counters["archive-members-passed-over"] += count

    def _member(self, member: Member, path: bytes, name: bytes, depth: int) -> None:
        """Look at a member: `path` is where it is in the file, `name` tells what it may be."""
        stream = member.stream
        if member.problem == "password-needed":
            self._problems.append((Status.LOCKED, member.problem))
        else:
            self._note(member.problem)
        if stream is None or member.size < _SMALLEST_BYTES:
            return
        head = stream.read(HEAD_BYTES)
        if len(head) < _SMALLEST_BYTES and not stream.problem:
            return
        verdict = triage(head, member.size)
        if verdict is Triage.ARCHIVE:
            stream.unread(head)
            row = archive_of(head)
            if depth == 1 and path == b"":
                self._format = row.name
            self._archive(row, stream, path, name, depth + 1)
        elif verdict is Triage.TEXT:
            self._text(head, stream, path, name)
        elif verdict is Triage.CANDIDATE:
            self._candidate(head, stream, path, name)
        self._note(stream.problem)

    def _note(self, problem: str) -> None:
        """Remember what is damaged, or where a limit of one member was hit; "" is neither."""
        if problem.startswith("limit-"):
            self._limits.append(problem)
        elif problem:
            self._damage.append(problem)

    def _text(self, head: bytes, stream: Stream, path: bytes, name: bytes) -> None:
        data, cut, cap = head, False, self._text_place.cap
        if len(head) == HEAD_BYTES:
            data += stream.read(cap - HEAD_BYTES + 1)
        if len(data) > cap:
            data = data[:cap]
            self._counters["archive-text-too-long"] += 1
            cut = True
        file_name = name.rpartition(b"/")[2].decode("ascii", "replace")
        if holds_marker(data, self._text_place.search_of(file_name)):
            self._parse(data, path, name, cut=cut)

    def _candidate(self, head: bytes, stream: Stream, path: bytes, name: bytes) -> None:
        data = head
        if len(head) == HEAD_BYTES:
            data += stream.read(limits.MEMBER_LIMIT - HEAD_BYTES + 1)
        if len(data) > limits.MEMBER_LIMIT:
            self._limits.append("limit-size")
            return
        self._parse(data, path, name)

    def _parse(self, data: bytes, path: bytes, name: bytes, *, cut: bool = False) -> None:
        request = Request(Hint(name), self._request.passwords)
        result = self._read_formats(data, request)
        if cut and result.found and result.reason in ("", "unclosed-block"):
            # As of a file: the block that the cap cut through is no damage.
            self._problems.append((Status.PARTIAL, "text-too-long"))
        elif result.status is not Status.READ:
            self._problems.append((result.status, result.reason))
        for item in result.found:
            member = item.entry.member
            full = path + SEPARATOR + member if path and member else path or member
            entry = replace(item.entry, member=full[:MEMBER_LIMIT])
            # The same certificate lies in an archive many times.
            public = self._public.setdefault(entry.artifact, item.public) if item.public else b""
            fresh = len(public) if public is item.public else 0
            self._effort.keep(limits.ENTRY_BYTES + len(entry.member) + fresh)
            self._found.append(replace(item, entry=entry, public=public))
