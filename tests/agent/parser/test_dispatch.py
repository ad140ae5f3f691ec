from __future__ import annotations

from typing import Never

import pytest
from fixtures.build_fixtures import FILES, FIXTURES, PASSWORD
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from keycensus_agent.model import BlobKind, EntryKind, Parsed, Status
from keycensus_agent.parser import details, dispatch
from keycensus_agent.parser.dispatch import parse
from keycensus_agent.parser.findings import Confidence, FormatResult, Hint, Request
from keycensus_agent.parser.formats.table import FORMATS, Format

CONTENTS = {row.name: (FILES / row.name).read_bytes() for row in FIXTURES}


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    name=st.sampled_from(sorted(set(CONTENTS) - {"scrypt.pem"})),
    edits=st.lists(
        st.tuples(st.integers(0, 1 << 20), st.integers(0, 40), st.binary(max_size=8)), max_size=4
    ),
)
@example(name="locked.p12", edits=[])
def test_no_mutation_of_any_form_raises_or_loses_its_status(
    name: str, edits: list[tuple[int, int, bytes]]
) -> None:
    data = bytearray(CONTENTS[name])
    for position, removed, inserted in edits:
        at = position % (len(data) + 1)
        data[at : at + removed] = inserted
    parsed = parse(bytes(data), Hint(name.encode()), [PASSWORD], details=True)
    assert not parsed.reason.startswith("error-")
    assert (parsed.status is Status.READ) or parsed.reason
    assert bool(parsed.entries) == bool(parsed.manifest)
    named = {entry.artifact for entry in parsed.entries}
    assert all(blob.hash in named for blob in parsed.blobs if blob.kind is not BlobKind.MANIFEST)


@pytest.mark.parametrize("name", ["certificate.pem", "pkcs1.pem"])
def test_what_a_wrong_label_or_none_ends_is_found_and_the_damage_told(name: str) -> None:
    whole = parse(CONTENTS[name], Hint(b"a.pem"))
    for end, reason in (
        (b"-----END DH PARAMETERS-----", "mismatched-label"),
        (b"", "unclosed-block"),
    ):
        block = CONTENTS[name].partition(b"-----END")[0] + end
        parsed = parse(block + b"\n", Hint(b"a.pem"))
        assert [entry.artifact for entry in parsed.entries] == [
            entry.artifact for entry in whole.entries
        ]
        assert (parsed.status, parsed.reason) == (Status.PARTIAL, reason)


STARTS = (
    *(b"", b"\x30", b"\x30\x80\2\1\3\x30\x80", b"\xfe\xed\xfe\xed\0\0\0\2\0\0\0\1"),
    b"\xce\xce\xce\xce\0\0\0\2\0\0\0\1\0\0\0\3\0\1a" + bytes(8) + b"\xac\xed\0\5s",
    b"\0\0\0\2\0\0\0\x14" + bytes(22) + b"\4\0\4\0\1a" + bytes(8),
    b"\0\0\0\0CERT",
    b"\0\0\0\x20\1\1\0\2KBXf" + bytes(20),
    b"(11:private-key(3:rsa(",
    b"Key: (private-key (ecc (curve Ed25519)(q #",
    CONTENTS["cert9.db"][:4096],
    CONTENTS["cert8.db"][:16_384] + b"\6\0",
)
STORES = (
    "trust-open.p12",
    "secret.jceks",
    "keystore.jks",
    "keystore.bks",
    "cert9.db",
    "cert8.db",
    "pubring.kbx",
    "certificates.sst",
)


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    name=st.sampled_from(sorted(STORES)),
    at=st.floats(0, 1),
    removed=st.integers(0, 40),
    inserted=st.binary(max_size=8),
)
def test_damage_to_a_store_never_loses_a_certificate_that_stands_before_it(
    name: str, at: float, removed: int, inserted: bytes
) -> None:
    """A certificate is before the damage if all of its bytes are; pages have no order."""
    whole = parse(CONTENTS[name], Hint(name.encode()), details=True)
    public = {blob.hash: blob.data for blob in whole.blobs if blob.kind is BlobKind.CERTIFICATE}
    assert len(public) == len(set(public)) > 0
    data = bytearray(CONTENTS[name])
    start = int(at * len(data))
    data[start : start + removed] = inserted
    found = {entry.artifact for entry in parse(bytes(data), Hint(name.encode())).entries}
    if name.endswith(".db") and start < 8192:
        # The header of a database, or a page that says where others are.
        return
    limit = start - start % 16_384 if name.endswith("8.db") else start
    for identity, certificate in public.items():
        end = CONTENTS[name].find(certificate) + len(certificate)
        assert end > limit or identity in found


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(STARTS))
def test_random_bytes_hold_nothing_or_say_why(body: bytes, start: bytes) -> None:
    parsed = parse(start + body, Hint(b"random.bin"), details=True)
    assert parsed.entries or parsed.reason or not parsed.holds_something


def test_bytes_that_no_format_takes_hold_nothing() -> None:
    assert parse(b"hello", Hint(b"a.txt")) == Parsed("", Status.READ)


def test_der_that_quotes_a_marker_is_read_as_der_and_text_after_chance_der_as_text() -> None:
    assert parse(CONTENTS["certificate.cer"] + b"\n\n", Hint(b"x")).format == "der"
    chance = b"0\x03\x02\x01\x01" + CONTENTS["public.pem"]
    assert parse(chance, Hint(b"x")).format == "pem"


def _raises(error: type[BaseException]) -> Format:
    def recognise(data: bytes, hint: Hint) -> Confidence:
        del data, hint
        return Confidence.SURE

    def fail(data: bytes, request: Request) -> FormatResult:
        del data, request
        raise error("quotes the file")

    return Format("failing", "", (), recognise, fail)


def test_a_format_that_fails_becomes_a_status_that_quotes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dispatch, "FORMATS", (_raises(ZeroDivisionError), *FORMATS))
    parsed = parse(b"data", Hint(b"x"))
    assert parsed == Parsed("failing", Status.MALFORMED, "error-ZeroDivisionError")


def test_lack_of_memory_is_not_contained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "FORMATS", (_raises(MemoryError),))
    with pytest.raises(MemoryError):
        parse(b"data", Hint(b"x"))


def test_details_that_fail_leave_the_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> Never:
        raise ZeroDivisionError

    monkeypatch.setattr(dispatch, "_remembered", dispatch._Remembered(1))
    monkeypatch.setattr(details, "key_facts", fail)
    parsed = parse(CONTENTS["certificate.cer"], Hint(b"x"), details=True)
    assert [detail.subject for detail in parsed.details] == [""]
    assert parsed.details[0].sha256 == parsed.entries[0].artifact


def test_lack_of_memory_in_details_is_not_contained(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> Never:
        raise MemoryError

    monkeypatch.setattr(dispatch, "_remembered", dispatch._Remembered(1))
    monkeypatch.setattr(details, "key_facts", fail)
    with pytest.raises(MemoryError):
        parse(CONTENTS["certificate.cer"], Hint(b"x"), details=True)


def test_details_are_remembered_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    remembered = dispatch._Remembered(1)
    monkeypatch.setattr(dispatch, "_remembered", remembered)
    first = parse(CONTENTS["two.der"], Hint(b"x"), details=True)
    again = parse(CONTENTS["two.der"], Hint(b"x"), details=True)
    assert first == again
    assert len(remembered._details) == 1
    assert parse(CONTENTS["two.der"], Hint(b"x")).details == ()


def test_a_certificate_and_a_request_have_the_key_id_that_pairs_them_with_their_key() -> None:
    (key,) = parse(CONTENTS["sec1.pem"], Hint(b"x")).entries
    assert key.kind is EntryKind.PRIVATE_KEY
    for name in ("certificate.cer", "request.p10"):
        (detail,) = parse(CONTENTS[name], Hint(b"x"), details=True).details
        assert detail.key_id == key.artifact
