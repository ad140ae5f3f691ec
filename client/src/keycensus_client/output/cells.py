"""What stands in a cell: times, counts and keys as people read them. Pure; now is passed in."""

from __future__ import annotations

from datetime import UTC, datetime

from keycensus_client.model import Certificate, Key

_MINUTE, _HOUR, _DAY, _YEAR = 60, 3_600, 86_400, 31_536_000
# Digits of a fingerprint in tables: enough for the collector to find it by.
SHORT = 12


def parse_time(text: str | None) -> datetime | None:
    """Return a time as the collector writes it; None if there is none or it is in no known form."""
    if not text:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None


def duration(seconds: float) -> str:
    """Return a length of time in its largest unit: "3 d", "2.1 y", "5 h", "1 min"."""
    seconds = abs(seconds)
    if seconds >= 2 * _YEAR:
        return f"{seconds / _YEAR:.1f} y"
    for unit, name in ((_DAY, "d"), (_HOUR, "h")):
        if seconds >= unit:
            return f"{int(seconds // unit)} {name}"
    return f"{int(seconds // _MINUTE)} min"


def expires_in(not_after: str | None, now: datetime) -> str:
    """Return "89 d" or "expired 3 d ago"."""
    end = parse_time(not_after)
    if end is None:
        return "unknown"
    left = (end - now).total_seconds()
    return f"expired {duration(left)} ago" if left < 0 else duration(left)


def urgency(not_after: str | None, now: datetime) -> str:
    """Return the style of an expiry on a terminal: red, yellow or none."""
    end = parse_time(not_after)
    if end is None:
        return "yellow"
    left = (end - now).total_seconds()
    return "red" if left < 0 else "yellow" if left < 30 * _DAY else ""


def ago(time: str | None, now: datetime) -> str:
    """Return "5 min ago"; "never" where there is no time."""
    moment = parse_time(time)
    return "never" if moment is None else f"{duration((now - moment).total_seconds())} ago"


def counted(count: int, what: str) -> str:
    """Return "1 host", "2,000 hosts"."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def day(time: str | None) -> str:
    """Return the day of a time, "2026-11-23"; "-" where there is none."""
    return time[:10] if time else "-"


def key_type(algorithm: str, bits: int, curve: str) -> str:
    """Return "rsa 2048", "ec 256", "ed25519"; a curve by name where it is not the usual one."""
    if algorithm == "ec" and curve and not curve.startswith("secp"):
        return f"ec {curve}"
    return f"{algorithm} {bits}" if bits and algorithm in {"rsa", "ec", "dsa", "dh"} else algorithm


def certificate_key(certificate: Certificate) -> str:
    """Return the key's type and at how many places its private half was found."""
    type_ = key_type(certificate.algorithm, certificate.bits, certificate.curve) or "unknown"
    count = certificate.private_key_places
    return f"{type_} ({'no key' if count == 0 else f'key at {count}'})"


def private_key(key: Key) -> str:
    """Return what a private key is: its type, or that it is sealed."""
    if key.kind in {"sealed-key", "sealed-container"}:
        return key.kind.replace("-", " ")
    return key_type(key.algorithm, key.bits, key.curve) or "unknown"
