"""What a listener presents, held against the disk."""

from __future__ import annotations

import pytest

from keycensus_agent.context.verdicts import Known, judge
from keycensus_agent.usage import Verdict

OLD = Known(b"old", b"key", frozenset({"www.example.com"}))
RENEWED = Known(b"new", b"key", frozenset({"other.example.com"}))
REKEYED = Known(b"new", b"key2", frozenset({"www.example.com", "shop.example.com"}))
OTHER = Known(b"other", b"key3", frozenset({"mail.example.com"}))
UNREAD = Known(b"unread")


@pytest.mark.parametrize(
    ("bound", "beside", "on_disk", "verdict"),
    [
        ([OTHER, OLD], set(), True, Verdict.SERVED),
        ([OLD], {b"old"}, False, Verdict.SERVED),
        ([RENEWED], set(), True, Verdict.NOT_RELOADED),
        ([REKEYED], set(), False, Verdict.NOT_RELOADED),
        ([REKEYED], {b"old"}, True, Verdict.ANOTHER),
        ([OTHER], set(), True, Verdict.ANOTHER),
        ([OTHER], set(), False, Verdict.NOT_ON_DISK),
        ([UNREAD], set(), False, Verdict.NOT_ON_DISK),
        ([], set(), True, Verdict.SERVED),
        ([], set(), False, Verdict.NOT_ON_DISK),
    ],
)
def test_the_verdict(
    bound: list[Known],
    beside: set[bytes],
    on_disk: bool,  # noqa: FBT001 - a parameter
    verdict: Verdict,
) -> None:
    assert judge(OLD, bound, beside=beside, on_disk=on_disk) is verdict


def test_what_nobody_could_read_follows_nothing() -> None:
    assert not UNREAD.follows(Known(b"another"))
    assert OLD.follows(RENEWED)
    assert OLD.follows(REKEYED)
    assert not OLD.follows(OTHER)
