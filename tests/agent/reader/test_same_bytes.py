"""Equal bytes are parsed once and told for each name; what decides besides them is never mixed up."""

from __future__ import annotations

import re

from fakes.parser_stub import ParserStub, one_certificate

from keycensus_agent.model import Parsed, Status
from keycensus_agent.reader.passwords import PasswordFile
from keycensus_agent.reader.same_bytes import SameBytes

PEM = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


def drained(parser: SameBytes) -> dict[int, Parsed]:
    results: dict[int, Parsed] = {}
    while got := parser.results(wait=True):
        results.update(got)
    return results


def test_copies_are_parsed_once_whether_or_not_the_first_is_ready() -> None:
    for lazy in (False, True):
        behind = ParserStub(lazy=lazy)
        parser = SameBytes(behind)
        for ticket in (1, 2, 3):
            parser.submit(ticket, PEM, b"/venv%d/ca.pem" % ticket)
        results = drained(parser)
        parser.submit(4, PEM, b"/later/ca.pem")
        results |= drained(parser)
        assert sorted(results) == [1, 2, 3, 4]
        assert len({id(parsed) for parsed in results.values()}) == 1
        assert len(behind.parsed) == 1


def test_another_name_content_or_password_is_another_question() -> None:
    behind = ParserStub()
    rows = ((re.compile("/locked/.*"), "open sesame"),)
    parser = SameBytes(behind, PasswordFile(rows))
    for ticket, (data, name) in enumerate(
        [
            (PEM, b"/a/ca.pem"),
            (PEM, b"/a/ca.crt"),
            (PEM + b"\n", b"/a/ca.pem"),
            (PEM, b"/locked/ca.pem"),
        ]
    ):
        parser.submit(ticket, data, name)
    assert sorted(drained(parser)) == [0, 1, 2, 3]
    assert len(behind.parsed) == 4


def test_what_is_kept_has_a_bound() -> None:
    behind = ParserStub()
    parser = SameBytes(behind, kept_bytes=10_000)
    contents = [PEM + b"%d" % number for number in range(20)]
    for number, content in enumerate([*contents, contents[-1], contents[0]]):
        parser.submit(number, content, b"/x.pem")
        drained(parser)
    assert len(behind.parsed) == 21
    parser = SameBytes(ParserStub(), kept_bytes=1)
    parser.submit(1, PEM, b"/x.pem")
    assert sorted(drained(parser)) == [1]


def test_what_is_locked_is_kept_apart_from_what_is_cheap_to_look_at_again() -> None:
    def answer(data: bytes) -> Parsed:
        if data.startswith(b"locked"):
            return Parsed("pkcs12", Status.LOCKED, "password-needed")
        return one_certificate(data)

    behind = ParserStub(answer)
    parser = SameBytes(behind, kept_bytes=10_000)
    contents = [b"locked", *(PEM + b"%d" % number for number in range(20)), b"locked"]
    for number, content in enumerate(contents):
        parser.submit(number, content, b"/x.p12")
        drained(parser)
    assert behind.received.count(b"locked") == 1
