"""What parsing certificates, requests and revocation lists has in common: names, times, extensions.

Pure, and on the hostile side as `parse`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from keycensus_collector.catalogue import der
from keycensus_collector.catalogue.names import DistinguishedName, read_name
from keycensus_collector.text import safe_text

_PROBLEM_CHARACTERS = 500
# RFC 5280 allows 20 octets; what is longer still has a value, of which this much is kept.
SERIAL_CHARACTERS = 256
# Key identifiers are 20 bytes as a rule; ones this long do not fit into an index.
KEY_IDENTIFIER_BYTES = 512
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UTC_TIME = re.compile(rb"(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})?(Z|[+-]\d{4})", re.ASCII)
_GENERALIZED_TIME = re.compile(
    rb"(\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})?(?:\.\d+)?(Z|[+-]\d{4})", re.ASCII
)

_Value = TypeVar("_Value")
_Otherwise = TypeVar("_Otherwise")


class Problems:
    """Collects what could not be read, each part by its name."""

    def __init__(self) -> None:
        self._parts: list[str] = []

    def add(self, part: str, reason: str) -> None:
        """Note that a part could not be read, and why."""
        self._parts.append(f"{part}: {reason}")

    def guard(
        self, part: str, read: Callable[[], _Value], otherwise: _Otherwise
    ) -> _Value | _Otherwise:
        """Return what `read` does, or `otherwise` and note why."""
        try:
            return read()
        except (der.DerError, ValueError, OverflowError) as error:
            self.add(part, str(error))
            return otherwise

    def text(self) -> str:
        """Return all of it as text that is safe to show; empty if everything was read."""
        return safe_text("; ".join(self._parts))[:_PROBLEM_CHARACTERS]


def name_of(part: str, element: der.Element, problems: Problems) -> DistinguishedName:
    """Return a Name; an empty one, and a problem noted, if it can't be read."""
    return problems.guard(part, lambda: read_name(element), DistinguishedName("", ""))


def serial_text(element: der.Element) -> str:
    """Return a serial number in lower-case hexadecimal, as the database has it; DerError if it is none."""
    text = f"{der.read_integer(element):x}"
    return text[:SERIAL_CHARACTERS]


def time_ms(element: der.Element) -> int:
    """Return a Time (RFC 5280, section 4.1.2.5), also in the older forms with offset or no seconds."""
    pattern = _UTC_TIME if element.tag == der.UTC_TIME else _GENERALIZED_TIME
    if element.tag not in {der.UTC_TIME, der.GENERALIZED_TIME}:
        raise der.DerError("not a time")
    match = pattern.fullmatch(element.content)
    if match is None:
        raise der.DerError("time in no known form")
    year, month, day, hour, minute, second = (int(group or 0) for group in match.groups()[:6])
    if element.tag == der.UTC_TIME:
        year += 2000 if year < 50 else 1900
    moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    milliseconds = (moment - _EPOCH) // timedelta(milliseconds=1)
    offset = match.group(7)
    if offset == b"Z":
        return milliseconds
    minutes = int(offset[1:3]) * 60 + int(offset[3:5])
    return milliseconds + (minutes if offset.startswith(b"-") else -minutes) * 60_000


def extension_values(wrapper: der.Element, problems: Problems) -> dict[str, der.Element]:
    """Return extension values by identifier; of one that stands twice, the first."""
    found: dict[str, der.Element] = {}
    try:
        for extension in wrapper.first_child().expect(der.SEQUENCE).children():
            parts = list(extension.expect(der.SEQUENCE).children())
            oid = der.read_oid(parts[0]) if parts else ""
            if len(parts) not in {2, 3} or oid in found:
                problems.add("extensions", f"{oid or 'one'} is malformed or there twice")
                continue
            found[oid] = parts[-1].expect(der.OCTET_STRING)
    except der.DerError as error:
        problems.add("extensions", str(error))
    return found


def authority_key_identifier(extension: der.Element | None, problems: Problems) -> bytes:
    """Return the key identifier of the extension (RFC 5280, section 4.2.1.1); empty if it has none."""
    if extension is None:
        return b""

    def read() -> bytes:
        for field in der.read_whole(extension.content, der.SEQUENCE).children():
            if field.tag == 0x80:
                return field.content
        return b""

    return problems.guard("authority key identifier", read, b"")[:KEY_IDENTIFIER_BYTES]
