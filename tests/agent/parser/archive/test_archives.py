"""Archives that real tools write, read as the golden says, and what damage leaves of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fixtures.build_archives import ARCHIVES, CATALOGUE, FIXTURES, GOLDEN, describe
from fixtures.build_fixtures import FILES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keycensus_agent.model import Parsed, Status
from keycensus_agent.parser import pipe
from keycensus_agent.parser.archive.compressed import ZSTD
from keycensus_agent.parser.archive.streams import BytesSource
from keycensus_agent.parser.dispatch import parse, parse_archive
from keycensus_agent.parser.findings import Hint
from keycensus_agent.parser.triage import HEAD_BYTES, Triage, ends_as_zip, triage

GOLDENS: dict[str, Any] = json.loads(GOLDEN.read_text(encoding="utf-8"))
CONTENTS = {row.name: (ARCHIVES / row.name).read_bytes() for row in FIXTURES}


def search(name: str, data: bytes | None = None) -> Parsed:
    source = BytesSource(CONTENTS[name] if data is None else data)
    return parse_archive(source, Hint(b"/srv/" + name.encode()), details=True)


@pytest.mark.parametrize("name", GOLDENS)
def test_an_archive_holds_what_the_golden_says(name: str) -> None:
    assert describe(search(name)) == GOLDENS[name]


def test_every_archive_is_in_the_table_and_the_catalogue() -> None:
    catalogue = CATALOGUE.read_text(encoding="utf-8")
    files = {file.name for file in ARCHIVES.iterdir()} - {CATALOGUE.name, GOLDEN.name}
    assert files == {row.name for row in FIXTURES}
    assert all(f"\n| {row.name} | " in catalogue for row in FIXTURES)


@pytest.mark.parametrize("name", sorted(CONTENTS))
def test_the_first_bytes_of_every_archive_lead_to_it(name: str) -> None:
    data = CONTENTS[name]
    verdict = triage(data[:HEAD_BYTES], len(data))
    assert verdict is Triage.ARCHIVE or (data[:2] == b"#!" and ends_as_zip(data[-(1 << 16) :]))


@pytest.mark.parametrize("name", [name for name in CONTENTS if name.endswith(".zst")])
def test_zstandard_is_read_where_python_has_it_and_counted_where_not(name: str) -> None:
    parsed = search(name)
    if ZSTD is None:
        assert parsed == Parsed("zstd", Status.READ, counters=(("archives-not-searched-zstd", 1),))
    else:
        assert parsed.entries


@pytest.mark.parametrize(
    "name", ["server.pem.gz", "server.pem.bz2", "server.pem.xz", "keystore.jks.gz"]
)
def test_one_compressed_file_is_read_as_the_file_itself(name: str) -> None:
    plain = "chain-with-key.pem" if "pem" in name else "keystore.jks"
    whole = parse((FILES / plain).read_bytes(), Hint(plain.encode()), details=True)
    assert search(name).entries == whole.entries
    assert search(name).details == whole.details


@pytest.mark.parametrize("name", sorted(name for name in GOLDENS if GOLDENS[name]["entries"]))
def test_what_was_before_a_cut_is_found(name: str) -> None:
    data = CONTENTS[name]
    whole = {entry.member for entry in search(name).entries}
    for cut in range(0, len(data), max(1, len(data) // 23)):
        parsed = search(name, data[:cut]) if cut > 4 else Parsed("", Status.READ)
        assert {entry.member for entry in parsed.entries} <= whole
        assert parsed.status in (Status.READ, Status.PARTIAL, Status.LOCKED, Status.MALFORMED)
        assert not parsed.reason.startswith("error-")


def test_a_cut_archive_says_so_if_it_held_something_and_is_counted_if_not() -> None:
    cut = search("backup.tar.gz", CONTENTS["backup.tar.gz"][:-2500])
    assert cut.entries
    assert cut.status is Status.PARTIAL
    empty = search("log.gz", CONTENTS["log.gz"][:-100])
    assert empty == Parsed("gzip", Status.READ, counters=(("archives-damaged", 1),))
    nothing = search("backup.tar", b"\0" * 257 + b"ustar" + bytes(1000))
    assert nothing == Parsed("zip", Status.READ, counters=(("archives-damaged", 1),))


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    name=st.sampled_from(sorted(CONTENTS)),
    edits=st.lists(
        st.tuples(st.integers(0, 1 << 20), st.integers(0, 40), st.binary(max_size=8)), max_size=4
    ),
)
def test_no_mutation_of_any_archive_raises_or_loses_its_status(
    name: str, edits: list[tuple[int, int, bytes]]
) -> None:
    data = bytearray(CONTENTS[name])
    for position, removed, inserted in edits:
        at = position % (len(data) + 1)
        data[at : at + removed] = inserted
    parsed = search(name, bytes(data))
    assert not parsed.reason.startswith("error-")
    assert (parsed.status is Status.READ) or parsed.reason
    assert bool(parsed.entries) == bool(parsed.manifest)
    number, decoded = pipe_round_trip(parsed)
    assert (number, decoded) == (7, parsed)


def pipe_round_trip(parsed: Parsed) -> tuple[int, Parsed]:
    frame = pipe.encode_answer(7, parsed)
    header, _ = pipe.frame_sizes(frame[: pipe.PREFIX_BYTES])
    middle = pipe.PREFIX_BYTES + header
    answer = pipe.decode_answer(frame[pipe.PREFIX_BYTES : middle], frame[middle:])
    assert answer is not None
    return answer
