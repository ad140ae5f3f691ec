"""Lists of what an authority issued: CSV, JSON, and the database of `openssl ca`. Pure.

Columns are found by their names, as AD CS (`certutil -view … csv`), EJBCA, Vault, step-ca and people write
them. A list with a mistake is not taken at all, and its mistakes are told with their lines, up to some.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import csv
import io
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from keycensus_collector.errors import UsageError

FORMATS = ("csv", "json", "openssl-index")
MOST_ENTRIES = 500_000
_TOLD = 20
_TEXT_CHARACTERS = 1_000
_FIELD_BYTES = 1024 * 1024
_DEPTH = 8
# Digits of the longest serial number that is kept, as of a certificate.
_SERIAL_DIGITS = 255
# Decimal digits of which a hexadecimal serial number that long has none by chance.
_SURELY_DECIMAL = 17

_COLUMNS = {
    "serial": ("serialnumber", "serial", "serialnumberhex", "certificateserialnumber", "serialno"),
    "subject": (
        *("subject", "subjectdn", "issueddistinguishedname", "distinguishedname", "dn"),
        *("issuedcommonname", "commonname", "cn", "name"),
    ),
    "issuer": ("issuer", "issuerdn", "issuername", "issuerdistinguishedname"),
    "not_after": (
        *("notafter", "certificateexpirationdate", "expirationdate", "expiredate", "expires"),
        *("expiration", "validto", "validuntil", "expiry"),
    ),
    "fingerprint": (
        *("sha256", "sha256fingerprint", "fingerprintsha256", "fingerprint", "thumbprint"),
        *("certificatehash", "sha1", "sha1fingerprint", "fingerprintsha1"),
    ),
    "certificate": (
        *("binarycertificate", "rawcertificate", "certificate", "pem", "base64cert", "cert"),
    ),
    "state": ("status", "state", "requestdisposition", "disposition"),
    "revoked": (
        *("revocationdate", "revokedat", "revocationtime", "revokedeffectivedate"),
        *("effectiverevocationdate", "revocationtimerfc3339"),
    ),
    "reason": ("revocationreason", "reason"),
}
_IDENTITIES = ("serial", "fingerprint", "certificate")
# How certutil writes that there is nothing.
_NOTHING = frozenset({"", "empty", "null", "none", "-", "-1"})
_STATES = (
    *(("revok", "revoked"), ("hold", "revoked"), ("expir", "expired")),
    *(("issued", "valid"), ("valid", "valid"), ("active", "valid")),
)
_EJBCA_STATES = {"20": "valid", "21": "valid", "40": "revoked", "60": "expired"}
_TIMES = (
    *("%Y-%m-%d", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%b %d %H:%M:%S %Y GMT"),
    *("%m/%d/%Y %I:%M %p", "%m/%d/%Y %I:%M:%S %p", "%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M:%S"),
    *("%y%m%d%H%M%SZ", "%Y%m%d%H%M%SZ", "%d.%m.%Y"),
)
_INDEX = {"V": "valid", "R": "revoked", "E": "expired"}
_INDEX_FIELDS = 6
_PEM = re.compile(r"-----[A-Z ]+-----")


@dataclass(frozen=True, slots=True)
class Listed:
    """One entry of a list. `where`: its place in the file, for people; what is empty is not told."""

    where: str
    serial: str = ""  # lower-case hexadecimal without leading zeros
    subject: str = ""
    issuer: str = ""
    not_after_ms: int | None = None
    sha256: bytes = b""
    sha1: bytes = b""
    der: bytes = b""
    state: str = ""  # "valid", "revoked", "expired"
    revoked_ms: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ReadList:
    """What a file says. `skipped`: rows of requests that came to no certificate."""

    format: str
    entries: tuple[Listed, ...]
    columns: tuple[str, ...]  # of ours, that were found
    skipped: int
    unread_times: int  # times in no known form, which are left out


def read_list(data: bytes, format_: str, serials: str) -> ReadList:
    """Return the entries of a file; UsageError tells every mistake, up to some.

    `format_`: one of FORMATS, or empty: found out. `serials`: "hex", "decimal", or empty: found out.
    """
    text = _decoded(data)
    format_ = format_ or _format_of(text)
    rows = _Rows()
    try:
        _READERS[format_](text, rows)
    except (csv.Error, RecursionError) as error:
        raise UsageError(f"the list can't be read as {format_}: {error}") from None
    rows.refuse_mistakes()
    if not rows.found:
        raise UsageError(f"the list, read as {format_}, names no certificate")
    entries = rows.entries("hex" if format_ == "openssl-index" else serials)
    rows.refuse_mistakes()
    columns = tuple(name for name in _COLUMNS if name in rows.columns)
    return ReadList(format_, tuple(entries), columns, rows.skipped, rows.unread_times)


def _decoded(data: bytes) -> str:
    """Return the text of a file: UTF-8, or UTF-16 as certutil and PowerShell write it."""
    encoding = "utf-8-sig"
    if data[:2] in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE}:
        encoding = "utf-16"
    elif len(data) > 3 and data[1] == 0 and data[3] == 0:
        encoding = "utf-16-le"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise UsageError(
            f"the list is not {encoding.removesuffix('-sig').upper()} text (byte {error.start}):"
            " save it as UTF-8 or UTF-16"
        ) from None


def _format_of(text: str) -> str:
    first = text.lstrip()[:2_000]
    if first.startswith(("[", "{")):
        return "json"
    line = first.partition("\n")[0].rstrip("\r").split("\t")
    return "openssl-index" if len(line) == _INDEX_FIELDS and line[0] in _INDEX else "csv"


class _Rows:
    """Gathers rows by the names of columns, and what is wrong with them."""

    def __init__(self) -> None:
        self.found: list[tuple[str, dict[str, str]]] = []
        self.mistakes: list[str] = []
        self.columns: set[str] = set()
        self.skipped = 0
        self.unread_times = 0

    def add(self, where: str, row: Mapping[str, str]) -> None:
        known = {name: value.strip() for name, value in row.items()}
        known = {name: "" if v.lower() in _NOTHING else v for name, v in known.items()}
        if not any(known.get(name) for name in _IDENTITIES):
            self.skipped += 1
            return
        self.columns |= {name for name, value in known.items() if value}
        self.found.append((where, known))
        if len(self.found) > MOST_ENTRIES:
            raise UsageError(f"the list has more than {MOST_ENTRIES:,} certificates")

    def entries(self, serials: str) -> list[Listed]:
        base = _base_of([row["serial"] for _, row in self.found if row.get("serial")], serials)
        return [each for found in self.found if (each := self._entry(found, base)) is not None]

    def refuse_mistakes(self) -> None:
        if self.mistakes:
            rest = len(self.mistakes) - _TOLD
            more = f"; and {rest} more" if rest > 0 else ""
            raise UsageError("nothing was taken: " + "; ".join(self.mistakes[:_TOLD]) + more)

    def _entry(self, found: tuple[str, dict[str, str]], base: int) -> Listed | None:
        where, row = found
        try:
            sha256, sha1 = _fingerprint(row.get("fingerprint", ""))
            return Listed(
                where,
                serial=_serial(row.get("serial", ""), base),
                subject=row.get("subject", "")[:_TEXT_CHARACTERS],
                issuer=row.get("issuer", "")[:_TEXT_CHARACTERS],
                not_after_ms=self._time(row.get("not_after", "")),
                sha256=sha256,
                sha1=sha1,
                der=_certificate(row.get("certificate", "")),
                state=_state(row),
                revoked_ms=self._time(row.get("revoked", "")),
                reason=row.get("reason", "")[:_TEXT_CHARACTERS],
            )
        except ValueError as error:
            self.mistakes.append(f"{where}: {error}")
            return None

    def _time(self, text: str) -> int | None:
        moment = _time_ms(text)
        self.unread_times += bool(text) and moment is None
        return moment


def _base_of(serials: list[str], told: str) -> int:
    """Return the base in which serial numbers are written; UsageError if that can't be told."""
    if told:
        return 10 if told == "decimal" else 16
    if any(not text.isdecimal() for text in serials):
        return 16
    if any(len(text) >= _SURELY_DECIMAL for text in serials):
        return 10
    if any(len(text.lstrip("0")) > 1 for text in serials):
        raise UsageError(
            "the list has serial numbers that may be hexadecimal or decimal: say which (serials=hex or"
            " serials=decimal, --serials of keycensus import)"
        )
    return 16


def _serial(text: str, base: int) -> str:
    digits = re.sub(r"[\s:-]", "", text.lower().removeprefix("0x"))
    if not digits:
        return ""
    try:
        if len(digits) > _SERIAL_DIGITS or not digits.isascii():
            raise ValueError  # noqa: TRY301 - told below
        return f"{int(digits, base):x}"
    except ValueError:
        raise ValueError(f"{text[:60]!r} is no serial number") from None


def _fingerprint(text: str) -> tuple[bytes, bytes]:
    """Return SHA-256 and SHA-1, one of them empty; by their length."""
    digits = re.sub(r"[\s:-]", "", text)
    if not digits:
        return b"", b""
    try:
        value = bytes.fromhex(digits)
    except ValueError:
        value = b""
    if len(value) not in {20, 32}:
        raise ValueError(f"{text[:80]!r} is neither a SHA-256 nor a SHA-1 fingerprint")
    return (value, b"") if len(value) == 32 else (b"", value)


def _certificate(text: str) -> bytes:
    if not text:
        return b""
    try:
        return base64.b64decode("".join(_PEM.sub("", text).split()), validate=True)
    except binascii.Error:
        raise ValueError("its certificate is not base64") from None


def _state(row: Mapping[str, str]) -> str:
    text = row.get("state", "").lower()
    known = [word for part, word in _STATES if part in text]
    if known:
        return known[0]
    return _EJBCA_STATES.get(text, "revoked" if row.get("revoked") else "")


def _time_ms(text: str) -> int | None:
    """Return a time as lists have it; None if it is in no known form. Without a zone it is UTC."""
    if not text:
        return None
    if text.isascii() and text.isdecimal() and len(text) in {10, 13}:
        return int(text) * (1000 if len(text) == 10 else 1)
    moment = None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        for form in _TIMES:
            try:
                moment = datetime.strptime(text, form)  # noqa: DTZ007 - given below
                break
            except ValueError:
                continue
    if moment is None:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)


def _normal(name: str) -> str:
    return "".join(each for each in name.lower() if each.isalnum())


def _by_name(names: list[str]) -> dict[int, str]:
    """Return what of ours each column is; of several for one, the first of our list."""
    normal = [_normal(name) for name in names]
    found: dict[int, str] = {}
    for ours, theirs in _COLUMNS.items():
        for name in theirs:
            if name in normal:
                found[normal.index(name)] = ours
                break
    return found


def _read_csv(text: str, rows: _Rows) -> None:
    head = text.lstrip("\r\n").partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    csv.field_size_limit(_FIELD_BYTES)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    columns: dict[int, str] | None = None
    width = 0
    for fields in reader:
        line = reader.line_num
        if not any(fields) or fields[0].startswith("CertUtil:"):
            continue
        if columns is None:
            columns, width = _by_name(fields), len(fields)
            if not set(columns.values()) & set(_IDENTITIES):
                raise UsageError(
                    "the list's first line names no column of serial numbers, fingerprints or"
                    f" certificates: {', '.join(fields)[:200]!r}"
                )
        elif len(fields) != width:
            rows.mistakes.append(f"line {line}: {len(fields)} fields where the head has {width}")
        else:
            rows.add(f"line {line}", {name: fields[place] for place, name in columns.items()})


def _read_json(text: str, rows: _Rows) -> None:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise UsageError(f"the list is no JSON: {error}") from None
    items = _items_of(document, _DEPTH)
    if items is None:
        raise UsageError("the list is JSON, and holds no list of certificates")
    for number, item in enumerate(items, 1):
        where = f"item {number}"
        if isinstance(item, str):
            rows.add(where, {"serial": item})
        elif isinstance(item, dict):
            names = list(item)
            columns = _by_name(names)
            rows.add(where, {ours: _text(item[names[place]]) for place, ours in columns.items()})
        else:
            rows.mistakes.append(f"{where}: neither an object nor a serial number")


def _items_of(document: Any, depth: int) -> list[Any] | None:  # noqa: ANN401 - JSON is any
    """Return the list of a document: itself, or one that it wraps, as Vault's `data.keys`."""
    if isinstance(document, list):
        return document
    if isinstance(document, dict) and depth:
        for name in ("data", "keys", "certificates", "items", "results", "value"):
            if name in document:
                return _items_of(document[name], depth - 1)
    return None


def _text(value: Any) -> str:  # noqa: ANN401 - JSON is any
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def _read_index(text: str, rows: _Rows) -> None:
    """Read the database of `openssl ca`: state, end, revocation, serial, file, subject by tabs."""
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        fields = line.split("\t")
        if len(fields) != _INDEX_FIELDS or fields[0] not in _INDEX:
            rows.mistakes.append(f"line {number}: no line of openssl's index: {line[:60]!r}")
            continue
        revoked, _, reason = fields[2].partition(",")
        row = {
            "state": _INDEX[fields[0]],
            "not_after": fields[1],
            "revoked": revoked,
            "reason": reason.partition(",")[0],
            "serial": fields[3],
            "subject": fields[5],
        }
        if not re.fullmatch(r"[0-9A-Fa-f]+", fields[3]):
            rows.mistakes.append(f"line {number}: {fields[3][:60]!r} is no serial number")
            continue
        rows.add(f"line {number}", row)


_READERS: dict[str, Callable[[str, _Rows], None]] = {
    "csv": _read_csv,
    "json": _read_json,
    "openssl-index": _read_index,
}
