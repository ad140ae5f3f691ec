"""How keystores start: four bytes, and what else must be true of the first page.

Runs in the reader as part of triage, on the first bytes of every file, so it is one look-up for nearly
all of them. Chance must not pass: numbers near zero start many files. What is let through here is
told for good by its format, in the parser.
"""

from __future__ import annotations

import re
from collections.abc import Callable

# Bouncy Castle's salt is 20 bytes long; other writers of BKS are given some room.
_SALT_BYTES = range(8, 65)
_ITERATIONS = range(1, 1 << 24)
_BERKELEY_VERSION = b"\0\0\0\2\0\0"
_IBM_TAGS = {b"X509KEY", b"X509KYP", b"X509CRL"}
# Secret keys of OpenPGP: how a packet of theirs starts (RFC 9580, 4.2), their versions and algorithms.
OPENPGP_STARTS = frozenset((b"\x94", b"\x95", b"\xc5"))
OPENPGP_ALGORITHMS = frozenset((1, 2, 3, 16, 17, 18, 19, 20, 22, 25, 26, 27, 28))
_OPENPGP_SECRET_KEY = 5
# Keys of GnuPG's agent, as such and as the value of a line.
_GNUPG = (b"(11:private-key(", b"(21:protected-private-key(", b"(20:shadowed-private-key(")
_GNUPG_READABLE = re.compile(rb"\((?:protected-|shadowed-)?private-key[\s(]")
_GNUPG_VALUE = re.compile(rb"^Key: \((?:protected-|shadowed-)?private-key \(", re.MULTILINE)
_DESCRIPTION = re.compile(rb"Certificate(?: Request| Revocation List \(CRL\))?:\r?\n")
# How a stream of serialized objects of Java starts: magic number and version.
JAVA_STREAM = b"\xac\xed\0\5"
# Types of UEFI's signature lists, as a GUID's bytes stand in a file: certificates and RSA keys, then what holds neither:
# hashes (SHA-1, -224, -256, -384, -512), those of certificates, signatures by RSA (UEFI 2.10, 32.4.1).
EFI_X509 = bytes.fromhex("a159c0a5e494a74a87b5ab155c2bf072")
EFI_RSA_2048 = bytes.fromhex("e866573c9c26344eaa14ed776e85b3b6")
_EFI_LISTS = frozenset(
    {
        EFI_X509,
        EFI_RSA_2048,
        bytes.fromhex("12a56c8210cfc94ab187be01496631bd"),
        bytes.fromhex("33526e0b5ca6c9449407d9ab83bfc8bd"),
        bytes.fromhex("2616c4c14c509240aca941f936934328"),
        bytes.fromhex("07533effd09fc94885f18ad56c701e01"),
        bytes.fromhex("ae0f3e09c4a6504f9f1bd41e2b89c19a"),
        bytes.fromhex("92a4d23bc0967940b420fcf98ef103ed"),
        bytes.fromhex("6e877670c280e64eaad228b349a6865b"),
        bytes.fromhex("63bf6d440225da4cbcfa2465d2b0fe9d"),
        bytes.fromhex("9061b3e29b873d4aad8df2e7bba32784"),
        bytes.fromhex("4f44f8674387f148a3281eaab8736080"),
    }
)
# What stands behind time and length in an authenticated variable: revision, type, the GUID of PKCS#7 (UEFI
# 2.10, 8.2.2 and 32.2.4).
_EFI_AUTHENTICATED, _EFI_AUTHENTICATED_AT = (
    bytes.fromhex("0002f10e9dd2af4adf68ee498aa9347d375665a7"),
    20,
)


def _always(head: bytes) -> bool:
    del head
    return True


def _bouncy_castle(head: bytes) -> bool:
    """Version, length of a salt, salt, iterations: all of them as they can be."""
    salt_bytes = int.from_bytes(head[4:8], "big")
    iterations = head[8 + salt_bytes : 12 + salt_bytes] if salt_bytes in _SALT_BYTES else b""
    return int.from_bytes(iterations, "big") in _ITERATIONS


def _zeros(head: bytes) -> bool:
    return head[4:8] == b"CERT" or _bouncy_castle(head)


def openpgp_body(data: bytes, position: int = 0) -> tuple[int, int, int]:
    """Return tag, start and length of the body of the packet at `position`; tag -1 if it has none.

    Lengths that are told in pieces, or not at all, do not happen to keys.
    """
    head = data[position : position + 6]
    if len(head) < 3 or head[0] < 0x80:
        return -1, 0, 0
    start, length = position + 2, head[1]
    if head[0] < 0xC0:
        tag, size = head[0] >> 2 & 15, 1 << (head[0] & 3)
        start, length = position + 1 + size, int.from_bytes(head[1 : 1 + size], "big")
        return (-1, 0, 0) if size == 8 else (tag, start, length)
    if length == 0xFF:
        start, length = position + 6, int.from_bytes(head[2:6], "big")
    elif 192 <= length < 224:
        start, length = position + 3, (length - 192 << 8) + head[2] + 192
    elif length >= 224:
        return -1, 0, 0
    return head[0] & 63, start, length


def starts_as_openpgp(head: bytes) -> bool:
    """Tell whether a secret key of OpenPGP starts a file: version, algorithm and length as they can be."""
    tag, start, size = openpgp_body(head)
    version = head[start : start + 1]
    at = start + (7 if version == b"\3" else 5)
    plausible = tag == _OPENPGP_SECRET_KEY and size > 32 and version in {b"\3", b"\4", b"\5", b"\6"}
    return plausible and len(head) > at and head[at] in OPENPGP_ALGORITHMS


def starts_as_authenticated(head: bytes, at: int = 0) -> bool:
    """Tell whether an authenticated variable of UEFI starts at `at`, whenever it was signed."""
    return head.startswith(_EFI_AUTHENTICATED, at + _EFI_AUTHENTICATED_AT)


def efi_value_at(head: bytes) -> int | None:
    """Return where a value of UEFI's with signature lists starts; None if there is none.

    At once, or behind the variable's attributes, as Linux shows it (efivarfs).
    """
    for at in (0, 4) if head[:1] != b"\0" and head[1:4] == b"\0\0\0" else (0,):
        if head[at : at + 16] in _EFI_LISTS or starts_as_authenticated(head, at):
            return at
    return None


def _efi_value(head: bytes) -> bool:
    return efi_value_at(head) is not None


def starts_as_description(head: bytes) -> bool:
    """Tell whether OpenSSL's description of a certificate, a request or a CRL in words starts a file."""
    return _DESCRIPTION.match(head) is not None


STORE_STARTS: dict[bytes, Callable[[bytes], bool]] = {
    # JKS, JCEKS.
    b"\xfe\xed\xfe\xed": _always,
    b"\xce\xce\xce\xce": _always,
    # Microsoft's serialized store, BKS and UBER of version 0; of 1 and 2.
    b"\0\0\0\0": _zeros,
    b"\0\0\0\1": _bouncy_castle,
    b"\0\0\0\2": _bouncy_castle,
    # GnuPG's keybox, whose first blob has 32 bytes.
    b"\0\0\0\x20": lambda head: head[8:12] == b"KBXf",
    # NSS: SQLite with its tables, Berkeley DB 1.85.
    b"SQLi": lambda head: b"nssP" in head,
    b"\0\x06\x15\x61": lambda head: head[4:10] == _BERKELEY_VERSION,
    # IBM's databases of keys, requests and revocation lists.
    **dict.fromkeys(
        (b"7H" + bytes((version, kind)) for version in range(16) for kind in (1, 2)),
        lambda head: head[8:15] in _IBM_TAGS,
    ),
    # Oracle's auto-login wallet.
    **dict.fromkeys(
        (b"\xa1\xf8\x4e" + bytes([kind]) for kind in range(0x30, 0x3A)),
        lambda head: head[4:7] == b"\0\0\0",
    ),
    # GnuPG's keys: bare, or behind the names that come first.
    **dict.fromkeys(
        (b"(pri", b"(pro", b"(sha"), lambda head: _GNUPG_READABLE.match(head) is not None
    ),
    **dict.fromkeys((b"(11:", b"(20:", b"(21:"), lambda head: head.startswith(_GNUPG)),
    **dict.fromkeys(
        (b"Key:", b"Crea", b"Toke", b"Labe", b"Use-", b"Desc", b"Open", b"Prom", b"Conf", b"Remo"),
        lambda head: _GNUPG_VALUE.search(head) is not None,
    ),
    JAVA_STREAM: _always,
    # OpenSSL's description in words, which DER may stand behind.
    b"Cert": starts_as_description,
    # UEFI's signature lists: as such, and behind attributes, which are bits of one byte.
    **{name[:4]: _efi_value for name in _EFI_LISTS},
    **dict.fromkeys((bytes((bits, 0, 0, 0)) for bits in range(1, 256)), _efi_value),
}
