"""The table of archives. To add one: its reader, its row here, its magic in triage, its line in docs.

Parser side.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from keycensus_agent.parser.archive import compressed, tar_archive, zip_archive
from keycensus_agent.parser.archive.member import Members, Opened


@dataclass(frozen=True, slots=True)
class Archive:
    """One row: name, what it reads, usual suffixes, how to tell by the first bytes, its reader.

    `read` is None where the running Python can't: `missing` says why. What is `single` has one member
    without a name.
    """

    name: str
    description: str
    suffixes: tuple[str, ...]
    recognise: Callable[[bytes], bool]
    read: Callable[[Opened], Members] | None
    single: bool = False
    missing: str = ""


def _starts(magic: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(magic)


_NOT_READ: tuple[tuple[str, str, tuple[str, ...], Callable[[bytes], bool]], ...] = (
    ("7z", "7-Zip", ("7z",), _starts(b"7z\xbc\xaf")),
    ("rar", "RAR", ("rar",), _starts(b"Rar!")),
    ("cab", "Windows cabinet", ("cab",), _starts(b"MSCF")),
    ("rpm", "RPM package", ("rpm",), _starts(b"\xed\xab\xee\xdb")),
    ("deb", "Debian package", ("deb",), _starts(b"!<ar")),
    ("cpio", "cpio", ("cpio",), _starts(b"0707")),
    ("squashfs", "SquashFS image", ("squashfs", "snap"), _starts(b"hsqs")),
    ("lz4", "LZ4", ("lz4",), _starts(b"\x04\x22\x4d\x18")),
    ("lzip", "lzip", ("lz",), _starts(b"LZIP")),
)
ARCHIVES: tuple[Archive, ...] = (
    Archive(
        "gzip",
        "gzip: one file, or a tar",
        ("gz", "tgz"),
        _starts(b"\x1f\x8b\x08"),
        partial(compressed.members, compression=compressed.GZIP),
        single=True,
    ),
    Archive(
        "bzip2",
        "bzip2: one file, or a tar",
        ("bz2", "tbz2"),
        _starts(b"BZh"),
        partial(compressed.members, compression=compressed.BZIP2),
        single=True,
    ),
    Archive(
        "xz",
        "xz: one file, or a tar",
        ("xz", "txz"),
        _starts(b"\xfd7zXZ\0"),
        partial(compressed.members, compression=compressed.XZ),
        single=True,
    ),
    Archive(
        "zstd",
        "Zstandard: one file, or a tar, with Python 3.14 and later",
        ("zst", "tzst"),
        _starts(b"\x28\xb5\x2f\xfd"),
        partial(compressed.members, compression=compressed.ZSTD) if compressed.ZSTD else None,
        single=True,
        missing="zstd-needs-python-3.14",
    ),
    Archive(
        "tar",
        "tar: every file in it, ustar, GNU and pax",
        ("tar",),
        tar_archive.is_header,
        tar_archive.members,
    ),
    *(
        Archive(name, f"{what}: recognised, counted as not searched", suffixes, starts, None)
        for name, what, suffixes, starts in _NOT_READ
    ),
    Archive(
        "zip",
        "zip, jar, war, ear, apk, wheel: every file in it, also behind a program or script",
        ("zip", "jar", "war", "ear", "apk", "whl", "jmod", "docx", "ipa", "aar"),
        # Asked last: something may stand before it.
        lambda _: True,
        zip_archive.members,
    ),
)


def archive_of(head: bytes) -> Archive:
    """Return the row of what starts like this; triage has said that it is an archive."""
    return next(row for row in ARCHIVES if row.recognise(head))
