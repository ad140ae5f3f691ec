"""From versions of a place to what happened to it. Pure but for decoding rows, which are a host's claims."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row

from keycensus_collector.intake.convert import decode_place
from keycensus_collector.intake.model import MalformedError
from keycensus_collector.text import safe_text


@dataclass(frozen=True, slots=True)
class Facts:
    """What of a version people are told about, beside its content."""

    mode: str = ""
    owner: str = ""
    group: str = ""
    use: str = ""
    role: str = ""
    status: str = ""
    readable_by: str = ""


def facts_of(version: Row[Any]) -> Facts:
    """Return the facts of a version; one that is gone or can't be read has none."""
    if not version.row:
        return Facts()
    try:
        fields = decode_place(version.row)[1]
    except MalformedError:
        return Facts()
    _, _, status, _, _, mode, _, _, owner, group, _, _, role, use, readable_by, _, _ = fields
    return Facts(
        mode=f"{mode & 0o7777:04o}",
        owner=safe_text(owner),
        group=safe_text(group),
        use=safe_text(use),
        role=safe_text(role),
        status=safe_text(status),
        readable_by=safe_text(readable_by),
    )


def what_changed(before: Facts, after: Facts) -> list[tuple[str, str]]:
    """Return what differs between two versions that both are there: a word, and from what to what."""
    changes: list[tuple[str, str]] = []
    for word, names in (
        ("permissions", ("mode", "readable_by")),
        ("file-owner", ("owner", "group")),
        ("use", ("use", "role")),
        ("status", ("status",)),
    ):
        was = " ".join(filter(None, (getattr(before, name) for name in names)))
        now = " ".join(filter(None, (getattr(after, name) for name in names)))
        if was != now:
            changes.append((word, f"{was or '-'} to {now or '-'}"))
    return changes
