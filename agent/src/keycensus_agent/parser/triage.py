"""Decide from the first bytes of a file whether it is worth reading whole, and handing to the parser.

Runs in the reader, once for every file of a machine, so each step is one or two C calls of CPython.
It interprets nothing: formats do, in the parser's process. False alarms cost time, misses findings.
"""

from __future__ import annotations

import re
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

from keycensus_agent.parser.store_magic import (
    OPENPGP_STARTS,
    STORE_STARTS,
    starts_as_authenticated,
    starts_as_openpgp,
)

# How much of a file the reader reads before it asks: one page, which the kernel brings in anyway.
HEAD_BYTES = 4096

# Text is read whole up to here. Nine of ten text files over 1 MiB are logs and data.
TEXT_CAP = 1024 * 1024
# In places where configuration lives, bundles and dumps are longer; so is, anywhere, what holds something.
CONFIGURATION_TEXT_CAP = 8 * 1024 * 1024
# Keystores and DER are read whole up to here: the largest trust stores are under 1 MiB, CRLs of big
# authorities a few MiB.
BINARY_CAP = 16 * 1024 * 1024

CONFIGURATION_PLACES = (
    b"/etc/",
    b"/home/",
    b"/opt/",
    b"/root/",
    b"/run/",
    b"/srv/",
    b"/usr/local/etc/",
    b"/usr/local/share/ca-certificates/",
    b"/usr/share/ca-certificates/",
    b"/var/lib/",
    b"/var/snap/",
)

# Places of programs and their data, where nobody keeps keys of his own but where most text is.
PROGRAM_PLACES = (
    b"/usr/include/",
    b"/usr/lib/",
    b"/usr/lib64/",
    b"/usr/local/go/",
    b"/usr/local/include/",
    b"/usr/local/lib/",
    b"/usr/local/share/",
    b"/usr/share/",
    b"/usr/src/",
)

# Trees that package managers of languages unpack or keep, wherever they lie: of Python, Node.js, Ruby, Go, Rust, the
# JVM and .NET, and what any package documents. What is in them is nobody's own.
_PACKAGE_TREES = re.compile(
    rb"/(?:lib/python[23]\.[0-9]+|site-packages|dist-packages|node_modules|gems|pkg/mod|\.cargo/registry"
    rb"|\.rustup/toolchains|\.m2/repository|\.gradle/caches|\.nuget/packages|share/doc)/"
)

# Without the space that ends it: CPython's search compares the last character first, and the space is
# the most frequent one of text. Measured on source code: 3.0 GB/s, with the space 1.7.
_MARKER = b"-----BEGIN"
# What is searched for besides. Each expression begins with a letter that is rare in text and no digit of a number,
# and holds what has that letter in common: `re` goes from one such letter to the next at 3 GB/s, whatever follows
# it, as `in` goes to a long string. To a string of two or three letters `in` goes at half of that, and an
# alternation or a look-behind before the letter makes `re` ten times as slow.
# DER: a SEQUENCE of 256 bytes to 16 KiB, as nearly all certificates and RSA keys are; a shorter one that starts as
# PKCS#8 or SEC 1 (INTEGER 0 or 1), or as encrypted PKCS#8 (SEQUENCE with an OID of PKCS#5 or #12).
_BASE64_DER = re.compile(
    rb"M(?:I(?:[IJKL][A-Za-z0-9+/]{8}[A-Za-z0-9+/\\\s\"']{24}"
    rb"|[GH][A-Za-z0-9+/](?:AgE[AB]|M[A-P][A-Za-z0-9+/]GC[Si]qG))"
    rb"|[A-H][A-Za-z0-9+/](?:CAQ[AE]|w[A-P][A-Za-z0-9+/]Y[JK]KoZ))"
)
_BASE64_PEM = b"LS0tLS1CRUdJ"
_OTHERS = (
    # Fields of WireGuard, XML, PuTTY; age.
    re.compile(
        rb"K(?:ey(?:(?<=PrivateKey)|(?<=RSAKey)Value>|-File-(?<=PuTTY-User-Key-File-))|EY-(?<=AGE-SECRET-KEY-))"
    ),
    # Fields of JWK, NetworkManager, DNSSEC; PKCS#11 URIs; base64 of a credential of systemd.
    re.compile(rb"k(?:ty\\?\"|ey(?:=|-format: v)|cs11:|6iUCUh0RJCQyvL8k8q1U)"),
    # Base64 of JKS; credentials of systemd.
    re.compile(rb"\+(?:7Q(?<=/u3\+7Q)|dQJax1aZeCGLxm|(?<=BYRp2vb1QySABUnaD46i\+))"),
    # Base64 of JCEKS, of a credential of systemd.
    re.compile(rb"z(?:s7Ozg|AexF2RZGcSwvqCLwg/)"),
    # Public keys of RFC 4716; plugins of age.
    re.compile(rb"G(?:IN SSH2 |E-PLUGIN-)"),
    # Base64 of a kubeconfig.
    re.compile(rb"YXBpVmVyc2lvbjog"),
)
# How base64 of a credential of systemd starts (CRED_AES256_GCM_BY_… in its creds-util.h), by host key, TPM, both,
# with a public key, scoped to a user, or by nothing; and base64 of DER of over 16 KiB.
CREDENTIAL_STARTS = frozenset(
    {
        b"Whxqht+dQJa",
        b"VbntHThZTUO",
        b"DHzAexF2RZG",
        b"+vfrk0HjQSy",
        b"k6iUCUh0RJC",
        b"70rBNnmpSA6",
        b"r0lQqEkTTrG",
        b"rbxMo++2QgG",
        b"BYRp2vb1QyS",
    }
)
_LONG_DER_STARTS = (b"MIA", b"MIJ", b"MIK", b"MIL", b"MIM")
# Names whose text is source code or markup.
_SOURCE_SUFFIXES = frozenset(
    b"S ai asm bas bat c cc cjs cmake cpp cs css cxx d def el erl f90 fs go h hh hpp hs htm html hwdb"
    b" inc java js jsx kt less lisp lua m map md mgc mjs ml nim pas php pl pm po pod pot ps pxd py pyi"
    b" pyx r rb rs rst s sass scala scm scss sql svg swift tcc tcl td tm ts tsx vim vue xhtml zig"
    b"".split()
)
# Data that never carries PEM in its head, and makes up most of the binary files of a machine: PNG,
# catalogues of messages, SQLite, terminfo, git packs.
_KNOWN_BINARY = frozenset(
    {
        b"\x89PNG",
        b"\xde\x12\x04\x95",
        b"\x95\x04\x12\xde",
        b"SQLi",
        b"PACK",
        b"\xfftOc",
    }
)
_ELF = b"\x7fELF"
# What the table of archives knows by its first four bytes (parser/archive/table.py).
_ARCHIVES = frozenset(
    {
        b"PK\x03\x04",
        b"\xfd7zX",
        b"\x28\xb5\x2f\xfd",
        *(b"\x1f\x8b\x08" + bytes((flags,)) for flags in range(32)),
        *(b"BZh" + bytes((level,)) for level in b"123456789"),
        *(b"7z\xbc\xaf", b"Rar!", b"MSCF", b"\xed\xab\xee\xdb", b"hsqs", b"\x04\x22\x4d\x18"),
        *(b"LZIP", b"!<ar", b"0707"),
    }
)
# Of what may start without a NUL in its first page, the first bytes: DER and cpio, bzip2, zstd, keys of OpenPGP.
_ODD_STARTS = frozenset((b"0", b"B", b"\x28")) | OPENPGP_STARTS
_BZIP2_BLOCKS = {b"1AY&SY", b"\x17\x72\x45\x38\x50\x90"}
_ZIP_MEMBER = b"PK\x03\x04"
_ZIP_END = b"PK\x05\x06"
# How far from a file's end the record that ends a zip may begin: its comment has up to 64 KiB.
ZIP_END_BYTES = 22 + 0xFFFF
_TAR_FIELD_ENDS = {b" \0", b"\0\0", b"\0 ", b"4\0", b"5\0", b"0\0"}
# First tag inside the SEQUENCE of certificates, keys, requests (SEQUENCE), keys and PKCS#12
# (INTEGER), PKCS#7 (OBJECT IDENTIFIER), answers of OCSP (ENUMERATED), pairs of cross-certificates (0xA0
# or 0xA1).
_DER_STARTS = frozenset((0x30, 0x02, 0x06, 0x0A, 0xA0, 0xA1))
_ZEROS = bytes(4)
_UTF_16_OCTETS = frozenset((0x00, 0xFE, 0xFF))
# Names that promise a key in one of the other forms, also among the data of programs.
_KEY_SUFFIXES = frozenset(
    b"age b64 base64 cred jwk jwks key keys netdev nmconnection ppk private pub".split()
)
# How what breaks off may still begin, behind a length of two bytes: certificates and the like; versions of PKCS#12 and of
# evidence records; PKCS#7.
_CUT_STARTS = (
    b"\x30\x82",
    b"\x02\x01\x03\x30",
    b"\x02\x01\x01\x30",
    b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07",
)


class Triage(IntEnum):
    """What the first bytes of a file say."""

    SKIP = 0
    """Nothing that is known starts like this."""
    TEXT = 1
    """Read it whole up to `text_cap`, then ask `holds_marker` for what `search_of` says."""
    CANDIDATE = 2
    """A keystore or DER by its first bytes: read it whole up to BINARY_CAP and parse it."""
    ARCHIVE = 3
    """An archive, or compressed: let the parser read it by itself, unless policy says no."""
    PROGRAM = 4
    """A program, behind which a zip may stand: ask `ends_as_zip` of its end."""


_SKIP, _TEXT, _CANDIDATE = Triage.SKIP, Triage.TEXT, Triage.CANDIDATE
_ARCHIVE, _PROGRAM = Triage.ARCHIVE, Triage.PROGRAM


def triage(head: bytes, size: int) -> Triage:
    """Return what to do with a file of `size` bytes whose first `HEAD_BYTES` (or all) are `head`.

    Text is what has no NUL in its head, or starts as UTF-16 does. Other data may still carry a PEM block
    where it can be seen at once: in its head.
    """
    if head[:1] in _ODD_STARTS:
        verdict = _odd_start(head, size)
        if verdict is not None:
            return verdict
    magic = head[:4]
    if magic in STORE_STARTS and STORE_STARTS[magic](head):
        return _CANDIDATE
    if b"\0" not in head:
        return _TEXT if head else _SKIP
    # Every magic number of compiled Python ends like this.
    if magic in _KNOWN_BINARY or magic[2:] == b"\r\n":
        return _SKIP
    if magic == _ELF:
        return _PROGRAM if _goes_on(head, size) else _SKIP
    return _rarer(head, magic)


def _rarer(head: bytes, magic: bytes) -> Triage:
    """Go on with what few files of a machine are."""
    if magic in _ARCHIVES:
        return _SKIP if magic == b"!<ar" and head[8:21] != b"debian-binary" else _ARCHIVE
    # ustar says so; older ones have the mode's octal digits behind a name of 100 bytes. A zip may
    # stand behind a script, a jmod's four bytes, or a program's first page.
    old_tar = head[100:106].isdigit() and head[106:108] in _TAR_FIELD_ENDS
    if head[257:262] == b"ustar" or old_tar or _ZIP_MEMBER in head:
        return _ARCHIVE
    if _MARKER in head or ((head[0] in _UTF_16_OCTETS or not head[1]) and utf_16_of(head[:8])):
        return _TEXT
    if starts_as_authenticated(head):
        return _CANDIDATE
    return _PROGRAM if magic[:2] == b"MZ" else _SKIP


def _odd_start(head: bytes, size: int) -> Triage | None:
    if head[:1] == b"0":
        return _CANDIDATE if _is_der(head, size) else None
    if head[:1] in OPENPGP_STARTS:
        return _CANDIDATE if starts_as_openpgp(head) else None
    known = head[:4] in _ARCHIVES
    return _ARCHIVE if known and (head[:1] != b"B" or head[4:10] in _BZIP2_BLOCKS) else None


def _goes_on(head: bytes, size: int) -> bool:
    """Tell whether something may stand behind the end of an ELF file.

    By its table of sections, which is what linkers write last (elf(5)); little-endian ones only.
    """
    wide = head[4:5] == b"\2"
    at, entry = (head[40:48], head[58:62]) if wide else (head[32:36], head[46:50])
    start = int.from_bytes(at, "little")
    length = int.from_bytes(entry[:2], "little") * int.from_bytes(entry[2:], "little")
    return bool(start) and start + length < size


def _is_der(head: bytes, size: int) -> bool:
    """Tell whether a SEQUENCE with a length that fits the file starts it, or what often is cut."""
    if head[1:2] == b"\x82" and head.startswith(_CUT_STARTS, 4):
        return True
    if len(head) < 4:
        return False
    length = head[1]
    body = 2
    if length > 0x80:
        body += length & 0x7F
        length = int.from_bytes(head[2:body], "big")
    elif length == 0x80:
        length = 2
    return body < len(head) and body + length <= size and head[body] in _DER_STARTS


def ends_as_zip(tail: bytes) -> bool:
    """Tell whether the last 64 KiB of a file hold the end of a zip archive."""
    return _ZIP_END in tail


def utf_16_of(start: bytes) -> str:
    """Return the name of the encoding if text in UTF-16 starts so, with or without its mark; or ""."""
    if start[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        return "utf-16"
    if len(start) == 8:
        if start[1::2] == _ZEROS and 0 not in start[::2]:
            return "utf-16-le"
        if start[::2] == _ZEROS and 0 not in start[1::2]:
            return "utf-16-be"
    return ""


class Search(NamedTuple):
    """What a text is searched for besides PEM blocks, by where it lies and what it is called."""

    base64: int
    """For base64 of DER and PEM: so many bytes of it."""
    others: bool
    """For other forms of keys: all of it."""


_EVERYTHING = Search(CONFIGURATION_TEXT_CAP, others=True)
_DER_AND_PEM = Search(CONFIGURATION_TEXT_CAP, others=False)
_START_OF_IT = Search(64 * 1024, others=False)
_NOTHING_MORE = Search(0, others=False)


def _by_suffix(source: Search, key: Search) -> dict[str, Search]:
    return {
        **dict.fromkeys((suffix.decode() for suffix in _SOURCE_SUFFIXES), source),
        **dict.fromkeys((suffix.decode() for suffix in _KEY_SUFFIXES), key),
    }


class TextPlace(NamedTuple):
    """How the text files of one directory are searched."""

    cap: int
    """Up to how many bytes each is read."""
    by_suffix: dict[str, Search]
    """What is searched for, by the name's suffix."""
    other: Search
    """What is searched for under every other name."""

    def search_of(self, name: str) -> Search:
        """Return what the text of the file `name` is searched for besides PEM, which always is."""
        return self.by_suffix.get(name[name.rfind(".") + 1 :], self.other)


# Nine of ten bytes of text on a machine are the source code and data of programs.
_AMONG_PROGRAMS = _by_suffix(source=_NOTHING_MORE, key=_EVERYTHING)
_ELSEWHERE = _by_suffix(source=_DER_AND_PEM, key=_EVERYTHING)


def among_programs(path: bytes) -> bool:
    """Tell whether the file or, with a slash at its end, directory `path` (absolute, within the root) is of programs."""
    return path.startswith(PROGRAM_PLACES) or _PACKAGE_TREES.search(path) is not None


@lru_cache(maxsize=4)
def text_place(directory: bytes) -> TextPlace:
    """Return how text is searched in `directory`, absolute within the root and ending in a slash.

    Asked for each file of a directory in a row.
    """
    if among_programs(directory):
        return TextPlace(text_cap(directory), _AMONG_PROGRAMS, _START_OF_IT)
    return TextPlace(text_cap(directory), _ELSEWHERE, _EVERYTHING)


def search_of(path: bytes) -> Search:
    """Return what the text of the file at `path` is searched for besides PEM, which always is."""
    slash = path.rfind(b"/") + 1
    return text_place(path[:slash]).search_of(path[slash:].decode("ascii", "replace"))


def holds_marker(data: bytes, search: Search = _EVERYTHING) -> bool:
    """Tell whether a text holds the start of something that a format reads.

    A PEM block whatever it is called; base64 of DER or PEM, and other forms of keys, as `search` says.
    """
    if _MARKER in data:
        return True
    # Nearly no text starts with a zero or anything beyond ASCII.
    if (len(data) > 1 and (not data[0] or not data[1] or data[0] > 0x7F)) and utf_16_of(data[:8]):
        return holds_marker(_narrow(data), search)
    base64, others = search
    return (base64 > 0 and _holds_base64(data, base64)) or (others and _holds_other(data))


def _holds_base64(data: bytes, limit: int) -> bool:
    return (
        data.startswith(_LONG_DER_STARTS)
        or _BASE64_DER.search(data, 0, limit) is not None
        or data.find(_BASE64_PEM, 0, limit) >= 0
    )


def _holds_other(data: bytes) -> bool:
    if data[:11] in CREDENTIAL_STARTS:
        return True
    for expression in _OTHERS:
        if expression.search(data):
            return True
    # What has no such letter: public keys of OpenSSH, units of systemd.
    return b" AAAA" in data or b"SetCredentialEncrypted=" in data


def _narrow(data: bytes) -> bytes:
    """Return the ASCII of UTF-16, in either order of bytes, without decoding it."""
    return data[data[:1] in {b"\0", b"\xfe"} :: 2]


def text_cap(path: bytes) -> int:
    """Return up to how many bytes the text file at `path` (absolute, within the root) is read."""
    return CONFIGURATION_TEXT_CAP if path.startswith(CONFIGURATION_PLACES) else TEXT_CAP
