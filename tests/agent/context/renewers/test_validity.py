from __future__ import annotations

import pytest
from fakes.configured_root import DAY_MS, NOW_MS
from fakes.dated_certificate import dated_pem

from keycensus_agent.context.renewers.validity import Validity, validity_in


def test_the_dates_of_the_first_certificate_are_read() -> None:
    for days in (-30, 60), (-20_000, 12_000):  # of the 20th century, and after 2049
        found = validity_in("x\n" + dated_pem(NOW_MS, *days) + dated_pem(NOW_MS, 0, 1))
        assert found == Validity(NOW_MS + days[0] * DAY_MS, NOW_MS + days[1] * DAY_MS)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
        "-----BEGIN CERTIFICATE-----\n" + "A" * 1001 + "\n-----END CERTIFICATE-----",
        "-----BEGIN CERTIFICATE-----\n" + "MIIB" * 100 + "\n-----END CERTIFICATE-----",
        dated_pem(NOW_MS, 0, 90).replace("A", "B"),
    ],
)
def test_what_is_none_has_no_dates(text: str) -> None:
    assert validity_in(text) is None


@pytest.mark.parametrize(
    ("life", "left", "window", "late"),
    [
        (90, 28, 0, False),  # 30 days and 3 of grace
        (90, 26, 0, True),
        (6, 1.9, 0, False),  # a third, and a thirtieth of grace
        (6, 1.7, 0, True),
        (365, 28, 0, False),
        (365, 26, 0, True),
        (90, 12, 14, False),
        (90, 10, 14, True),
        (6, 3.9, 60, False),  # never more than two thirds
        (6, 3.7, 60, True),
        (0, -1, 0, True),
    ],
)
def test_past_due_is_when_the_window_and_the_grace_are_over(
    life: float, left: float, window: int, *, late: bool
) -> None:
    end = NOW_MS + int(left * DAY_MS)
    validity = Validity(end - int(life * DAY_MS), end)
    assert validity.is_past_due(NOW_MS, window) == late
