"""Values as people write them, parsed: times, durations, numbers, hashes. Pure; now is passed in."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from keycensus_collector.query.conditions import Hash, Range, Serial
from keycensus_collector.text import safe_text

_DURATION = re.compile(r"(-?)(\d{1,6})(h|d|w|mo|y)")
_UNIT_MS = {
    "h": 3_600_000,
    "d": 86_400_000,
    "w": 604_800_000,
    "mo": 2_592_000_000,  # 30 days
    "y": 31_536_000_000,  # 365 days
}
_DATE = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER = re.compile(r"-?\d{1,15}")
_OCTAL = re.compile(r"0?[0-7]{3,4}")
_SEPARATORS = re.compile(r"[\s:]")
_DIGITS = re.compile(r"[0-9a-f]+")
# Fewer digits of a fingerprint fit too much.
SHORTEST_PREFIX = 4
_LONGEST_SERIAL = 80
TIME_HELP = "write a time as 30d, 2026-12-31, 2026-12 or 2026-12-31T10:00:00Z"


def duration_ms(text: str) -> int | None:
    """Return "36h", "30d", "4w", "6mo", "1y", with a minus or not; None if it is none."""
    match = _DURATION.fullmatch(text)
    if match is None:
        return None
    return int(match[2]) * _UNIT_MS[match[3]] * (-1 if match[1] else 1)


def period(text: str) -> tuple[int, int] | None:
    """Return start and end of a year, month, day or moment in milliseconds; None if it is none."""
    match = _DATE.fullmatch(text)
    try:
        if match is None:
            moment = datetime.fromisoformat(text) if "T" in text.upper() else None
            if moment is None:
                return None
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=UTC)
            start = _milliseconds(moment)
            return start, start + 1000
        year, month, day = (int(part) if part else None for part in match.groups())
        first = datetime(year or 1, month or 1, day or 1, tzinfo=UTC)
        if day:
            return _milliseconds(first), _milliseconds(first) + _UNIT_MS["d"]
        after = (first.replace(day=28) + timedelta(days=4)).replace(day=1) if month else None
        return _milliseconds(first), _milliseconds(after or first.replace(year=first.year + 1))
    except (ValueError, OverflowError):
        return None


def _milliseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def times(operator: str, text: str, now_ms: int, *, age: bool) -> Range | None:
    """Return when something is; None if the text is no time.

    A length of time is from now on, or with `age` an age: `first-seen<7d` is seen less than 7 days
    ago. A date is all of it: `<=2026-12-31` has that day, `<2026-12-31` has not.
    """
    low, dots, high = text.partition("..")
    if dots:
        if operator not in {":", "="}:
            return None
        return _between(low, high, now_ms, age=age)
    length = duration_ms(text)
    if length is not None:
        if operator in {":", "="}:
            return None
        return _relative(operator, length, now_ms, age=age)
    found = period(text)
    if found is None:
        return None
    start, end = found
    return {
        ":": Range(start, end),
        "=": Range(start, end),
        "<": Range(None, start),
        "<=": Range(None, end),
        ">": Range(end, None),
        ">=": Range(start, None),
    }[operator]


def _relative(operator: str, length: int, now_ms: int, *, age: bool) -> Range:
    if age:
        operator = operator.translate(str.maketrans("<>", "><"))
        length = -length
    moment = now_ms + length
    return {
        "<": Range(None, moment),
        "<=": Range(None, moment + 1),
        ">": Range(moment + 1, None),
        ">=": Range(moment, None),
    }[operator]


def _between(low: str, high: str, now_ms: int, *, age: bool) -> Range | None:
    """Return from the start of `low` to the end of `high`; either may be left out."""
    edges: list[tuple[int, int] | None] = []
    for text in (low, high):
        length = duration_ms(text)
        if length is not None:
            moment = now_ms - length if age else now_ms + length
            edges.append((moment, moment + 1))
        else:
            edges.append(period(text) if text else None)
            if text and edges[-1] is None:
                return None
    first, last = edges
    if first is None and last is None:
        return None
    if first and last and first > last:
        first, last = last, first
    return Range(first[0] if first else None, last[1] if last else None)


def numbers(operator: str, text: str) -> Range | None:
    """Return a range of whole numbers: `2048`, `1024..2048`, `<2048`; None if it is none."""
    low, dots, high = text.partition("..")
    if dots:
        if operator not in {":", "="} or not (low or high):
            return None
        if any(part and not _NUMBER.fullmatch(part) for part in (low, high)):
            return None
        return Range(int(low) if low else None, int(high) + 1 if high else None)
    if not _NUMBER.fullmatch(text):
        return None
    number = int(text)
    return {
        ":": Range(number, number + 1),
        "=": Range(number, number + 1),
        "<": Range(None, number),
        "<=": Range(None, number + 1),
        ">": Range(number + 1, None),
        ">=": Range(number, None),
    }[operator]


def mode(text: str) -> Range | None:
    """Return permission bits, "0640" or "640"."""
    if not _OCTAL.fullmatch(text):
        return None
    bits = int(text, 8)
    return Range(bits, bits + 1)


def hash_range(text: str, size: int) -> Hash | None:
    """Return the hashes of `size` bytes that start with these digits; None if none can."""
    digits = _SEPARATORS.sub("", text).lower()
    if not SHORTEST_PREFIX <= len(digits) <= 2 * size or not _DIGITS.fullmatch(digits):
        return None
    low, high = digits.ljust(2 * size, "0"), digits.ljust(2 * size, "f")
    return Hash(bytes.fromhex(low), bytes.fromhex(high))


def serial(text: str) -> Serial | None:
    """Return a serial number in hexadecimal, with colons or not, or in decimal: both readings."""
    digits = _SEPARATORS.sub("", text.lower().removeprefix("0x"))
    if not _DIGITS.fullmatch(digits) or len(digits) > _LONGEST_SERIAL:
        return None
    readings = [digits.lstrip("0") or "0"]
    if text.isascii() and text.isdecimal():
        readings.append(f"{int(text):x}")
    return Serial(tuple(dict.fromkeys(readings)))


def shown(text: str) -> str:
    r"""Return text as the database has it: what can't be shown escaped, what is escaped as it is."""
    if text.isprintable():
        return text
    return "".join(c if c == "\\" else safe_text(c) for c in text)
