"""A parser that goes from look to look: kept, lent again, ended when idle or left in the middle."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.certificates import Leaf

from keycensus_agent.model import Parsed
from keycensus_agent.reader.kept_parser import KeptParser
from keycensus_agent.reader.parser_client import ParserClient
from keycensus_agent.reader.passwords import NO_PASSWORDS

CERTIFICATE = Leaf("kept.example").pem


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def read(parser: ParserClient) -> int:
    """Have a certificate read; return the number of the process that did."""
    parser.submit(1, CERTIFICATE, b"/x")
    found: list[tuple[int, Parsed]] = []
    while not found:
        found = parser.results(wait=True)
    assert found[0][1].entries
    assert parser._child is not None
    return parser._child.process.pid


def is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_looks_one_after_the_other_share_a_process_until_it_was_idle() -> None:
    clock = Clock()
    parsers = KeptParser(8.0, clock)
    with parsers.lent(NO_PASSWORDS) as parser:
        first = read(parser)
    assert parsers.end_at == 108
    assert parsers.cpu_seconds() > 0
    clock.now = 105.0
    with parsers.lent(NO_PASSWORDS) as parser:
        assert read(parser) == first
    clock.now = 112.9
    parsers.end_if_idle()
    assert is_there(first)
    clock.now = 113.0
    parsers.end_if_idle()
    assert not is_there(first)
    assert parsers.cpu_seconds() == 0
    with parsers.lent(NO_PASSWORDS) as parser:
        assert read(parser) != first
    parsers.close()


def test_a_look_within_another_has_a_process_of_its_own_and_one_is_kept() -> None:
    parsers = KeptParser(8.0, Clock())
    with parsers.lent(NO_PASSWORDS) as outer:
        outside = read(outer)
        with parsers.lent(NO_PASSWORDS) as inner:
            inside = read(inner)
        assert inside != outside
    assert is_there(inside)
    assert not is_there(outside)
    parsers.close()
    assert not is_there(inside)


def test_a_look_that_parsed_nothing_leaves_nothing_to_end() -> None:
    parsers = KeptParser(8.0, Clock())
    with parsers.lent(NO_PASSWORDS):
        pass
    assert parsers.end_at is None


def test_where_nothing_follows_none_is_kept() -> None:
    parsers = KeptParser()
    with parsers.lent(NO_PASSWORDS) as parser:
        pid = read(parser)
    assert not is_there(pid)
    assert parsers.end_at is None


def test_a_look_that_failed_or_left_files_behind_leaves_no_process() -> None:
    parsers = KeptParser(8.0, Clock())
    pids = []

    def fail() -> None:
        with parsers.lent(NO_PASSWORDS) as parser:
            pids.append(read(parser))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert not is_there(pids[0])
    with parsers.lent(NO_PASSWORDS) as parser:
        pid = read(parser)
        parser.submit(2, CERTIFICATE, b"/x")
    assert not is_there(pid)
