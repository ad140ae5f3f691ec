from __future__ import annotations

from collections.abc import Iterator

import pytest
from fixtures.build_fixtures import FILES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keycensus_agent.model import Entry, Status
from keycensus_agent.parser.dispatch import parse
from keycensus_agent.parser.findings import Hint, Passage, Request
from keycensus_agent.parser.formats import pem
from keycensus_agent.parser.passages import plain_text, read_text

# One file of each form that can share a text.
FORMS = {
    name: (FILES / name).read_bytes()
    for name in (
        "age.txt",
        "authorized_keys",
        "certificate.b64",
        "config.json",
        "ecdsa.private",
        "jwks.json",
        "kubeconfig",
        "metadata.xml",
        "nginx-pkcs11.conf",
        "putty-v2.ppk",
        "rfc4716.pub",
        "rsa-key.xml",
        "sec1.pem",
        "tpm.pem",
        "unit.service",
        "wg0.conf",
    )
}


def _entries(data: bytes) -> tuple[Entry, ...]:
    return parse(data, Hint(b"file.txt")).entries


ALONE = {name: _entries(data) for name, data in FORMS.items()}


def test_all_forms_in_one_text_are_all_found_once_and_in_order() -> None:
    parsed = parse(b"\n\n".join(FORMS.values()), Hint(b"file.txt"))
    assert parsed.entries == tuple(entry for entries in ALONE.values() for entry in entries)
    assert parsed.format == (
        "pem+ppk+ssh-public-key+jwk+xml-rsa+dnssec+age+wireguard+pkcs11-uri+systemd-credential+base64"
    )


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    broken=st.sampled_from(sorted(FORMS)),
    kept=st.sampled_from(sorted(FORMS)),
    edits=st.lists(
        st.tuples(st.integers(0, 1 << 20), st.integers(0, 40), st.binary(max_size=8)), max_size=4
    ),
)
def test_no_mutation_of_one_form_raises_or_loses_the_entries_of_another(
    broken: str, kept: str, edits: list[tuple[int, int, bytes]]
) -> None:
    data = bytearray(FORMS[broken])
    for position, removed, inserted in edits:
        at = position % (len(data) + 1)
        data[at : at + removed] = inserted
    # A byte-order mark or a zero would make it another text.
    middle = bytes(data).replace(b"\0", b"?")
    parsed = parse(FORMS[kept] + b"\n\n" + middle + b"\n\n" + FORMS[kept], Hint(b"file.txt"))
    assert "error-" not in parsed.reason
    wanted = ALONE[kept]
    assert parsed.entries[: len(wanted)] == wanted
    found = list(parsed.entries[len(wanted) :])
    # A key in a token that is named twice is told once; what is cut off may take the next word.
    if kept != "nginx-pkcs11.conf" and b"BEGIN" not in middle + FORMS[kept]:
        assert all(entry in found for entry in wanted)


def _raises(text: bytes, request: Request) -> Iterator[Passage]:
    del request
    yield Passage(0, 1, tuple(next(pem.find(text, Request())).found))
    raise ZeroDivisionError("quotes the file")


def test_a_format_that_fails_half_way_keeps_what_it_found_and_costs_the_others_nothing() -> None:
    data = FORMS["sec1.pem"]
    result = read_text([("failing", _raises), ("pem", pem.find)], b" " + data, Request())
    assert len(result.found) == 2
    assert (result.format, result.status) == ("failing+pem", Status.PARTIAL)
    assert result.reason == "error-ZeroDivisionError"


def _lacks(text: bytes, request: Request) -> Iterator[Passage]:
    yield from pem.find(text, request)
    raise MemoryError


def test_lack_of_memory_is_not_contained() -> None:
    with pytest.raises(MemoryError):
        read_text([("failing", _lacks)], b"", Request())


def test_text_in_utf_16_is_read_with_and_without_its_mark() -> None:
    text = "-----BEGIN é"
    for encoding in ("utf-16", "utf-16-le", "utf-16-be"):
        assert plain_text(text.encode(encoding)) == b"-----BEGIN ?"
    assert plain_text(b"a\0b\0") == b"a\0b\0"
    assert plain_text(b"a\0b\0\0\0d\0") == b"a\0b\0\0\0d\0"
