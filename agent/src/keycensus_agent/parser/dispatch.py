"""Give a file's bytes to the formats and make one result of what they say, whatever happens.

Parser side. Formats may raise; this contains it (for those that share a text `passages` does) and
turns it into a status with a stable reason. What kills the process is the reader's to judge.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace

from keycensus_agent.model import CertificateDetail, EntryKind, Parsed, Status
from keycensus_agent.parser.archive.search import search
from keycensus_agent.parser.archive.streams import Source
from keycensus_agent.parser.convert import encode_manifest, public_blobs
from keycensus_agent.parser.details import certificate_detail, request_detail
from keycensus_agent.parser.findings import (
    Confidence,
    FormatResult,
    Found,
    Hint,
    Request,
)
from keycensus_agent.parser.formats.table import FORMATS, TEXT_FORMATS, Format
from keycensus_agent.parser.passages import read_text

# Details kept of certificates already seen: the public authorities stand in dozens of bundles on
# one machine. About 1 KiB each.
_REMEMBERED_DETAILS = 2048


def parse(
    data: bytes, hint: Hint, passwords: Sequence[str] = (), *, details: bool = False
) -> Parsed:
    """Return what the bytes of one file hold.

    `hint` is what its name says, `passwords` the candidates for it; `details` asks for what people
    want to see of each certificate and request. Never raises for anything that `data` can hold,
    short of MemoryError.
    """
    result = _first_that_holds(data, Request(hint, tuple(passwords)))
    return _as_parsed(result, details=details)


def parse_archive(
    source: Source,
    hint: Hint,
    passwords: Sequence[str] = (),
    *,
    details: bool = False,
    clock: Callable[[], float] = time.process_time,
) -> Parsed:
    """Return what the members of one archive hold; else as `parse`.

    `clock` tells processor time in seconds: the search stops before the process would be.
    """
    request = Request(hint, tuple(passwords))
    searched = search(source, request, _first_that_holds, clock)
    parsed = _as_parsed(searched.result, details=details)
    return replace(parsed, counters=tuple(sorted(searched.counters.items())))


def _as_parsed(result: FormatResult, *, details: bool) -> Parsed:
    entries = tuple(item.entry for item in result.found)
    manifest, manifest_blobs = encode_manifest(result.format, entries)
    return Parsed(
        format=result.format,
        status=result.status,
        reason=result.reason,
        entries=entries,
        manifest=manifest,
        blobs=(*manifest_blobs, *public_blobs(result.found)),
        details=_details(result.found) if details else (),
    )


def _first_that_holds(data: bytes, request: Request) -> FormatResult:
    """Ask the formats that have a file to themselves, the sure ones first; between them the text's."""
    nothing = FormatResult("")
    ranked = [(entry.recognise(data, request.hint), entry) for entry in FORMATS]
    for confidence in (Confidence.SURE, Confidence.MAYBE):
        for rank, candidate in ranked:
            if rank is not confidence:
                continue
            result = _contained(candidate, data, request)
            if result.found or result.status is not Status.READ:
                return result
            nothing = nothing if nothing.format else result
        if confidence is Confidence.SURE:
            text = read_text(((row.name, row.find) for row in TEXT_FORMATS), data, request)
            if text.found or text.status is not Status.READ:
                return text
    return nothing


def _contained(candidate: Format, data: bytes, request: Request) -> FormatResult:
    try:
        return candidate.parse(data, request)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - the one border where a format's failure is contained
        # The type alone: a message could quote the file.
        reason = f"error-{type(error).__name__}"
        return FormatResult(candidate.name, (), Status.MALFORMED, reason)


class _Remembered:
    """The details of the certificates met last, by hash."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._details: OrderedDict[bytes, CertificateDetail] = OrderedDict()

    def get(self, item: Found) -> CertificateDetail:
        identity = item.entry.artifact
        known = self._details.get(identity)
        if known is not None:
            self._details.move_to_end(identity)
            return known
        detail = _contained_detail(_DETAILS[item.entry.kind], item)
        self._details[identity] = detail
        if len(self._details) > self._limit:
            self._details.popitem(last=False)
        return detail


_DETAILS: dict[EntryKind, Callable[[bytes, bytes], CertificateDetail]] = {
    EntryKind.CERTIFICATE: certificate_detail,
    EntryKind.CSR: request_detail,
}
_remembered = _Remembered(_REMEMBERED_DETAILS)


def _contained_detail(
    read: Callable[[bytes, bytes], CertificateDetail], item: Found
) -> CertificateDetail:
    try:
        return read(item.public, item.entry.artifact)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - details are for display; the hash stands without them
        return CertificateDetail(item.entry.artifact)


def _details(found: Sequence[Found]) -> tuple[CertificateDetail, ...]:
    wanted = {item.entry.artifact: item for item in found if item.entry.kind in _DETAILS}
    return tuple(_remembered.get(item) for item in wanted.values())
