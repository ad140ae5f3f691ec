"""Whose a thing is, as people read it."""

from __future__ import annotations

from collections.abc import Sequence

from keycensus_client.model import Certificate, Key, Label, Ownership
from keycensus_client.output.cells import day


def owners_text(ownership: Sequence[Ownership]) -> str:
    """Return each owner with the reason and who can be asked, a line each."""
    return "\n".join(_line(each) for each in ownership) or "nobody"


def labels_text(labels: Sequence[Label]) -> str:
    """Return each label with the reason, a line each."""
    return "\n".join(f"{each.key}={each.value}  {each.why}" for each in labels)


def _line(each: Ownership) -> str:
    since = f" since {day(each.since)}" if each.since else ""
    reach = ", ".join([*([each.contact] if each.contact else []), *each.people])
    return f"{each.owner}{since}: {each.why}" + (f"  [{reach}]" if reach else "")


def owner_cell(item: Certificate | Key) -> str:
    """Return the owners of a row of a list; what only the fallback team answers for stands in brackets."""
    names = ", ".join(item.owners)
    return f"({names})" if item.owned_by == "fallback" else names
