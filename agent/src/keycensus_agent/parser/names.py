"""Distinguished names, general names and times of certificates as text, for showing.

Parser side: pure, on hostile bytes. Nothing here raises for odd content: what can't be decoded is
shown as hexadecimal, as RFC 4514 2.4 does. The text is unescaped against terminals; whoever shows it
does that.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import re
from functools import lru_cache

from keycensus_agent.parser import der

# Longest text of one name that is kept, in characters, and most alternative names: beyond what any
# real certificate has, and what a terminal or a table can use.
_TEXT_LIMIT = 4096
_NAMES_LIMIT = 4096

# RFC 4514 section 3, then the names that OpenSSL shows.
_ATTRIBUTES = {
    "2.5.4.3": "CN",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "2.5.4.6": "C",
    "2.5.4.9": "STREET",
    "0.9.2342.19200300.100.1.25": "DC",
    "0.9.2342.19200300.100.1.1": "UID",
    "1.2.840.113549.1.9.1": "emailAddress",
    "2.5.4.4": "SN",
    "2.5.4.5": "serialNumber",
    "2.5.4.12": "title",
    "2.5.4.15": "businessCategory",
    "2.5.4.17": "postalCode",
    "2.5.4.42": "GN",
    "2.5.4.46": "dnQualifier",
    "2.5.4.97": "organizationIdentifier",
    "1.3.6.1.4.1.311.60.2.1.1": "jurisdictionL",
    "1.3.6.1.4.1.311.60.2.1.2": "jurisdictionST",
    "1.3.6.1.4.1.311.60.2.1.3": "jurisdictionC",
}
_ENCODINGS = {
    0x0C: "utf-8",
    0x12: "ascii",
    0x13: "ascii",
    0x14: "latin-1",
    0x16: "ascii",
    0x1A: "ascii",
    0x1C: "utf-32-be",
    0x1E: "utf-16-be",
}
# rfc822Name, dNSName, uniformResourceIdentifier (RFC 5280, 4.2.1.6).
_TEXT_NAMES = {0x81: "email:", 0x82: "", 0x86: "uri:"}
_USER_PRINCIPAL_NAME = "1.3.6.1.4.1.311.20.2.3"
_ESCAPED = re.compile(r'([,+"\\<>;]|^[ #]|[ ]$)')
_TIME = re.compile(
    r"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)?(?:\.\d+)?(?:Z|([+-])(\d\d)(\d\d))?", re.ASCII
)


def name_text(data: bytes, name: der.Element) -> str:
    """Return a Name as RFC 4514 writes it: most specific first; hexadecimal if it is malformed."""
    return _name_text(der.encoding(data, name))


@lru_cache(maxsize=256)
def _name_text(encoded: bytes) -> str:
    """Return a whole Name as text: subjects are their own issuers, and issuers come in rows."""
    try:
        name = der.read(encoded, 0, len(encoded))
        relative = [_relative_text(encoded, part) for part in der.children(encoded, name)]
    except der.DerError:
        return f"#{encoded[: _TEXT_LIMIT // 2].hex()}"
    return ",".join(reversed(relative))[:_TEXT_LIMIT]


def _relative_text(data: bytes, part: der.Element) -> str:
    texts: list[str] = []
    for attribute in der.children(data, part):
        kind, value = der.expect(data, attribute, der.OBJECT_IDENTIFIER)[:2]
        oid = der.dotted(data, kind)
        texts.append(f"{_ATTRIBUTES.get(oid, oid)}={_value_text(data, value)}")
    return "+".join(texts)


def _value_text(data: bytes, value: der.Element) -> str:
    text = _decoded(value.tag, der.content(data, value)[:_TEXT_LIMIT])
    if text is None:
        return f"#{der.encoding(data, value)[: _TEXT_LIMIT // 2].hex()}"
    return _ESCAPED.sub(r"\\\1", text)


def _decoded(tag: int, content: bytes) -> str | None:
    encoding = _ENCODINGS.get(tag)
    if encoding is None:
        return None
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        # Writers that mislabel their encoding mostly mean Latin-1, which decodes everything.
        return content.decode("latin-1")


def general_names(data: bytes, names: der.Element) -> tuple[str, ...]:
    """Return GeneralNames (RFC 5280, 4.2.1.6) as text.

    DNS names and addresses stand as they are; others have their kind in front: "email:", "uri:",
    "dirname:", "upn:", "rid:", "other:". Each is one value: nothing is joined, nothing split.
    """
    return tuple(
        _general_name(data, name)[:_TEXT_LIMIT] for name in der.children(data, names)[:_NAMES_LIMIT]
    )


def _general_name(data: bytes, name: der.Element) -> str:
    content = der.content(data, name)
    if name.tag in _TEXT_NAMES:
        return _TEXT_NAMES[name.tag] + content.decode("utf-8", "replace")
    try:
        if name.tag == 0x87:
            return str(ipaddress.ip_address(content))
        if name.tag == 0xA0:
            return _other_name(data, name)
        if name.tag == 0xA4:
            return "dirname:" + name_text(data, der.read(data, name.body, name.body_end))
        if name.tag == 0x88:
            return "rid:" + der.dotted(data, name._replace(tag=der.OBJECT_IDENTIFIER))
    except ValueError:
        # One malformed name does not cost the others.
        pass
    return f"other:#{content[: _TEXT_LIMIT // 2].hex()}"


def _other_name(data: bytes, name: der.Element) -> str:
    kind, value = der.expect(data, name, der.OBJECT_IDENTIFIER, 0xA0)[:2]
    oid = der.dotted(data, kind)
    inner = der.read(data, value.body, value.body_end)
    text = _decoded(inner.tag, der.content(data, inner))
    if oid == _USER_PRINCIPAL_NAME and text is not None:
        return f"upn:{text}"
    return f"other:{oid}"


def _usual_time(content: bytes) -> str:
    """Return a UTCTime of the only form that RFC 5280 allows; "" if it is not quite that."""
    if not content[:12].isdigit():
        return ""
    text = content.decode("ascii")
    century = "19" if text[:2] >= "50" else "20"
    try:
        moment = dt.datetime.fromisoformat(f"{century}{text[:6]}T{text[6:12]}")
    except ValueError:
        return ""
    return moment.isoformat() + "Z"


def time_text(data: bytes, element: der.Element) -> str:
    """Return a Time (RFC 5280, 4.1.2.5) as RFC 3339 in UTC, or "" if it is none.

    Accepts what old writers produced: no seconds, fractions, an offset.
    """
    content = der.content(data, element)
    if element.tag == der.UTC_TIME and len(content) == 13 and content[12:] == b"Z":
        usual = _usual_time(content)
        if usual:
            return usual
    text = content.decode("ascii", "replace")
    if element.tag == der.UTC_TIME:
        text = ("19" if text[:2] >= "50" else "20") + text
    elif element.tag != der.GENERALIZED_TIME:
        return ""
    match = _TIME.fullmatch(text)
    if not match:
        return ""
    year, month, day, hour, minute, second, sign, *offset = match.groups()
    ahead = dt.timedelta(hours=int(offset[0] or 0), minutes=int(offset[1] or 0))
    try:
        local = dt.datetime(
            int(year), int(month), int(day), int(hour), int(minute), int(second or 0), tzinfo=dt.UTC
        )
        utc = local + ahead if sign == "-" else local - ahead
    except (ValueError, OverflowError):
        return ""
    return utc.replace(tzinfo=None).isoformat() + "Z"
