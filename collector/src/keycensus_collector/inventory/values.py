"""How values of the database are written for people and scripts: times, hashes, modes, names."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ATTRIBUTE = re.compile(r"(?:^|,)(CN|O|OU)=((?:\\.|[^,\\])*)")


def time_text(milliseconds: int | None) -> str | None:
    """Return RFC 3339 in UTC, "2026-11-23T14:00:00Z"; None stays None."""
    if milliseconds is None:
        return None
    moment = _EPOCH + timedelta(seconds=milliseconds // 1000)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment.year > 999 else None


def mode_text(mode: int) -> str:
    """Return permission bits as "0640"."""
    return f"{mode & 0o7777:04o}"


def short_name(distinguished_name: str) -> str:
    """Return what people call an authority: its common name, else organisation, else all of it."""
    found: dict[str, str] = {}
    for attribute in _ATTRIBUTE.finditer(distinguished_name):
        found.setdefault(attribute[1], attribute[2].replace("\\,", ","))
    return found.get("CN") or found.get("O") or found.get("OU") or distinguished_name


def certificate_name(common_name: str, names_text: str, subject: str, sha256: bytes) -> str:
    """Return what people call a certificate: common name, first alternative name, subject, hash."""
    return common_name or names_text.partition("\n")[0] or subject or sha256.hex()[:16]


def lines_of(text: str) -> list[str]:
    """Return the lines of a column that holds one value a line."""
    return text.split("\n") if text else []
