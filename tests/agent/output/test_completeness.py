from __future__ import annotations

import pytest
from fakes.findings import detail, finding

from keycensus_agent.model import Coverage, Gap, Status
from keycensus_agent.output.completeness import is_complete

NOTHING = Coverage()


def test_a_scan_without_gaps_and_with_all_read_is_complete() -> None:
    assert is_complete([finding(b"/a", detail())], NOTHING)
    assert is_complete([], Coverage([Gap(b"/x", "excluded", "/x")]))


@pytest.mark.parametrize("reason", ["unlisted", "unmounted", "network-file-system", "too-deep"])
def test_any_other_gap_leaves_it_incomplete(reason: str) -> None:
    assert not is_complete([], Coverage([Gap(b"/x", reason)]))


@pytest.mark.parametrize(
    ("status", "reason", "complete"),
    [
        (Status.UNREADABLE, "EACCES", False),
        (Status.TOO_BIG, "limit-size", False),
        (Status.MALFORMED, "limit-cpu", False),
        (Status.MALFORMED, "crash", False),
        (Status.PARTIAL, "text-too-long", False),
        (Status.PARTIAL, "limit-entries", False),
        (Status.PARTIAL, "damaged", True),
        (Status.MALFORMED, "not-der", True),
        (Status.LOCKED, "password-needed", True),
    ],
)
def test_a_place_leaves_it_incomplete_if_bytes_were_not_looked_at(
    status: Status, reason: str, *, complete: bool
) -> None:
    assert is_complete([finding(b"/a", status=status, reason=reason)], NOTHING) is complete
