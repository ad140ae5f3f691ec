"""What was costly is found out once for equal files, and never mixed up for others."""

from __future__ import annotations

import time

from keycensus_agent.model import Parsed, Status
from keycensus_agent.parser.pipe import ParseRequest
from keycensus_agent.parser.remembered import CostlyResults


class Finder:
    """Counts how often it was asked; each answer names the question."""

    def __init__(self, seconds: float = 0.005) -> None:
        self.asked = 0
        self._seconds = seconds

    def __call__(self) -> Parsed:
        self.asked += 1
        until = time.process_time() + self._seconds
        while time.process_time() < until:
            pass
        return Parsed(format=str(self.asked), status=Status.LOCKED)


def request(data: bytes = b"store", name: bytes = b"/a/x.p12", *passwords: str) -> ParseRequest:
    return ParseRequest(name, data, passwords, details=False)


def test_an_equal_file_under_another_name_is_not_looked_into_again() -> None:
    results, find = CostlyResults(), Finder()
    first = results.get(request(), find)
    assert results.get(request(name=b"/b/y.p12"), find) is first
    assert find.asked == 1


def test_other_content_ending_or_passwords_are_another_question() -> None:
    results, find = CostlyResults(), Finder()
    for question in (
        request(),
        request(b"other"),
        request(b"store", b"/a/x.jks"),
        request(b"store", b"/a/x.p12", "one"),
        request(b"store", b"/a/x.p12", "one", "two"),
        request(b"store", b"/a/x.p12", "onetwo"),
    ):
        results.get(question, find)
    assert find.asked == 6


def test_what_is_cheap_is_not_kept() -> None:
    results, find = CostlyResults(), Finder(0.0)
    results.get(request(), find)
    results.get(request(), find)
    assert find.asked == 2


def test_only_so_many_are_kept() -> None:
    results, find = CostlyResults(), Finder(0.0021)
    for number in range(514):
        results.get(request(str(number).encode()), find)
    results.get(request(b"513"), find)
    assert find.asked == 514
    results.get(request(b"0"), find)
    assert find.asked == 515
