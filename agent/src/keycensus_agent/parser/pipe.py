"""Frames on the two channels between the reader and its parser child; both sides use this module.

They cross a trust boundary: the child parses hostile bytes and may be taken over, so the reader
decodes its answers strictly and nothing here can run code (no pickle). Imports no library.

A frame is a header length and an attachment length (4 bytes each, big-endian), the header as JSON,
and the attachments joined. The header's "sizes" cuts them apart.

    reader → child   {"number", "name": hex, "passwords": [...], "details": bool, "archive": null}, then
                     the file's bytes; of an archive its size, and its descriptor with the first byte
    child → reader   {"ready": true, "landlock": version} once; then one answer a request, in order,
                     with its number
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from keycensus_agent.model import (
    Blob,
    BlobKind,
    CertificateDetail,
    Entry,
    EntryKind,
    Parsed,
    Status,
)

PREFIX_BYTES = 8
# Exit status of a child that ran out of memory, so that the reader can say so.
OUT_OF_MEMORY = 77
# The longest file, and room for what is made of it.
ATTACHMENTS_LIMIT = 64 * 1024 * 1024
HEADER_LIMIT = 64 * 1024 * 1024


class FrameError(ValueError):
    """The other side sent what it must not."""


@dataclass(frozen=True, slots=True, repr=False)
class ParseRequest:
    """One file to parse: its path, its bytes, candidate passwords. Never shown.

    The answer must repeat `number`, or it would be taken for that of another file. Of an archive the
    bytes are not in here: its descriptor comes with the frame, `archive_size` is its size.
    """

    name: bytes
    data: bytes
    passwords: tuple[str, ...] = ()
    details: bool = False
    number: int = 0
    archive_size: int | None = None


def encode_ready(landlock: int = 0) -> bytes:
    """Return the child's first frame; `landlock` is the version that holds it, 0 for none."""
    return _frame_head({"ready": True, "landlock": landlock}, ())


def decode_ready(header: bytes) -> int:
    """Return the version of Landlock that a first frame names; FrameError if it is none."""
    try:
        return _number(json.loads(header)["landlock"])
    except (ValueError, KeyError, TypeError):
        raise FrameError("no first frame") from None


def encode_request(request: ParseRequest) -> tuple[bytes, bytes]:
    """Return a request as two buffers to write one after the other: the file is not copied."""
    header = {
        "number": request.number,
        "name": request.name.hex(),
        "passwords": list(request.passwords),
        "details": request.details,
        "archive": request.archive_size,
    }
    return _frame_head(header, (request.data,)), request.data


def decode_request(header: bytes, attachments: bytes) -> ParseRequest:
    """Return the request of a frame; FrameError if it is none."""
    try:
        fields_ = json.loads(header)
        return ParseRequest(
            bytes.fromhex(fields_["name"]),
            attachments,
            tuple(fields_["passwords"]),
            bool(fields_["details"]),
            _number(fields_["number"]),
            None if fields_["archive"] is None else _number(fields_["archive"]),
        )
    except (ValueError, KeyError, TypeError):
        raise FrameError("no request") from None


def encode_answer(number: int, parsed: Parsed) -> bytes:
    """Return the frame of the answer to the request with that number."""
    header = {
        "number": number,
        "format": parsed.format,
        "status": parsed.status,
        "reason": parsed.reason,
        "manifest": parsed.manifest.hex(),
        "entries": [_entry_row(entry) for entry in parsed.entries],
        "blobs": [[blob.kind.value, blob.hash.hex()] for blob in parsed.blobs],
        "details": [_detail_row(detail) for detail in parsed.details],
        "counters": parsed.counters,
    }
    attachments = [blob.data for blob in parsed.blobs]
    return b"".join((_frame_head(header, attachments), *attachments))


def decode_answer(header: bytes, attachments: bytes) -> tuple[int, Parsed] | None:
    """Return number and answer of a frame, None for the first one; FrameError if it is neither."""
    try:
        answer = json.loads(header)
        if answer.get("ready") is True:
            return None
        parsed = Parsed(
            format=_text(answer["format"]),
            status=Status(answer["status"]),
            reason=_text(answer["reason"]),
            entries=tuple(_entry(row) for row in answer["entries"]),
            manifest=bytes.fromhex(answer["manifest"]),
            blobs=_blobs(answer["blobs"], answer["sizes"], attachments),
            details=tuple(_detail(row) for row in answer["details"]),
            counters=tuple((_text(name), _number(count)) for name, count in answer["counters"]),
        )
        return _number(answer["number"]), parsed
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise FrameError("no answer") from None


def frame_sizes(prefix: bytes) -> tuple[int, int]:
    """Return the lengths of header and attachments; FrameError beyond the limits."""
    header = int.from_bytes(prefix[:4], "big")
    attachments = int.from_bytes(prefix[4:PREFIX_BYTES], "big")
    if header > HEADER_LIMIT or attachments > ATTACHMENTS_LIMIT:
        raise FrameError("frame over the limit")
    return header, attachments


def _frame_head(header: dict[str, Any], attachments: Sequence[bytes]) -> bytes:
    sizes = [len(attachment) for attachment in attachments]
    text = json.dumps({**header, "sizes": sizes}, separators=(",", ":")).encode()
    return len(text).to_bytes(4, "big") + sum(sizes).to_bytes(4, "big") + text


_ENTRY_FIELDS = tuple(field.name for field in fields(Entry))
_DETAIL_FIELDS = tuple(field.name for field in fields(CertificateDetail))


def _row(value: Entry | CertificateDetail, names: tuple[str, ...]) -> list[Any]:
    row = [getattr(value, name) for name in names]
    return [field.hex() if isinstance(field, bytes) else field for field in row]


def _entry_row(entry: Entry) -> list[Any]:
    return _row(entry, _ENTRY_FIELDS)


def _detail_row(detail: CertificateDetail) -> list[Any]:
    return _row(detail, _DETAIL_FIELDS)


def _entry(row: list[Any]) -> Entry:
    values = dict(zip(_ENTRY_FIELDS, row, strict=True))
    return Entry(
        kind=EntryKind(values["kind"]),
        artifact=bytes.fromhex(values["artifact"]),
        member=bytes.fromhex(values["member"]),
        algorithm=_text(values["algorithm"]),
        bits=_number(values["bits"]),
        curve=_text(values["curve"]),
        encrypted=values["encrypted"] is True,
        size=_number(values["size"]),
        reason=_text(values["reason"]),
        location=_text(values["location"]),
    )


def _detail(row: list[Any]) -> CertificateDetail:
    values = dict(zip(_DETAIL_FIELDS, row, strict=True))
    names = {name: _text(values[name]) for name in _DETAIL_TEXTS}
    return CertificateDetail(
        sha256=bytes.fromhex(values["sha256"]),
        key_id=bytes.fromhex(values["key_id"]),
        san=tuple(_text(name) for name in values["san"]),
        is_ca=values["is_ca"] is True,
        extended_key_usage=tuple(_text(purpose) for purpose in values["extended_key_usage"]),
        self_signed=values["self_signed"] is True,
        bits=_number(values["bits"]),
        **names,
    )


_DETAIL_TEXTS = (
    "subject",
    "issuer",
    "serial",
    "not_before",
    "not_after",
    "signature_algorithm",
    "algorithm",
    "curve",
)


def _blobs(rows: list[Any], sizes: list[Any], attachments: bytes) -> tuple[Blob, ...]:
    blobs: list[Blob] = []
    position = 0
    for (kind, identity), size in zip(rows, sizes, strict=True):
        end = position + _number(size)
        blobs.append(Blob(BlobKind(kind), bytes.fromhex(identity), attachments[position:end]))
        position = end
    if position != len(attachments):
        raise FrameError("no answer")
    return tuple(blobs)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise FrameError("no answer")
    return value


def _number(value: object) -> int:
    # The protocol's numbers are unsigned, at most 64 bits.
    if type(value) is not int or not 0 <= value < 1 << 64:
        raise FrameError("no answer")
    return value
