"""Whether a scan saw all that it was to see: one judgement for `--strict`, `check` and the coverage record. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from keycensus_agent.model import Coverage, Finding, Place, Status


def not_read_whole(place: Place) -> bool:
    """Whether a file may hold more than was seen: it could not be read, or a limit or a crash ended it.

    What is locked is seen to be there, and bytes that are no certificate were all looked at.
    """
    if place.status in (Status.READ, Status.LOCKED):
        return False
    ended = place.reason.startswith("limit-") or place.reason in ("crash", "text-too-long")
    return ended or place.status in (Status.UNREADABLE, Status.TOO_BIG)


def is_complete(findings: Sequence[Finding], coverage: Coverage) -> bool:
    """Whether everything was looked at that policy and excludes do not leave out."""
    return all(gap.reason == "excluded" for gap in coverage.gaps) and not any(
        not_read_whole(finding.place) for finding in findings
    )
