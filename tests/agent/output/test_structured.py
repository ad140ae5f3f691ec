from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from fakes.findings import detail, finding, key
from fakes.json_schema import violations

from keycensus_agent.model import Coverage, Entry, EntryKind, Finding, Gap, Role, Status, Use
from keycensus_agent.output.structured import CSV_COLUMNS, write_csv, write_json, write_ndjson
from keycensus_agent.reader.scan import certificates_by_key

DOCS = Path(__file__).resolve().parents[3] / "docs"
SCHEMA = json.loads((DOCS / "scan-output.schema.json").read_text())
COVERAGE = Coverage([Gap(b"/mnt/\xff", "unlisted", "EACCES")], {"files": 7, "directories": 2})

EVERYTHING = [
    finding(b"/a.pem", detail(), detail("Root", is_ca=True, self_signed=True), key(), mode=0o640),
    finding(b"/b\n\xff.p12", status=Status.LOCKED, reason="password-needed", file_format="pkcs12"),
    finding(b"/c", key("other"), use=Use.RETAINED, role=Role.SERVER, target=b"/d\\e"),
    finding(b"/f", *(Entry(kind, b"\1" * 32, b"alias\x1b", reason="r", location="pkcs11:x") for kind in EntryKind)),
    finding(b"/g", detail(subject="CN==HYPERLINK()", serial="-1f", san=("a", "\u202eb"), not_after="")),
]  # fmt: skip


def ndjson(findings: list[Finding], coverage: Coverage = COVERAGE) -> list[dict[str, Any]]:
    stream = io.StringIO()
    write_ndjson(findings, coverage, certificates_by_key(findings), stream)
    return [json.loads(text) for text in stream.getvalue().splitlines()]


def test_every_line_is_as_the_schema_says() -> None:
    lines = ndjson(EVERYTHING)
    assert len(lines) == len(EVERYTHING) + 1
    for line in lines:
        assert list(violations(line, SCHEMA, SCHEMA)) == []


def test_the_documents_examples_are_as_the_schema_says() -> None:
    (examples,) = re.findall(r"```json\n(.*?)```", (DOCS / "scan-output.md").read_text(), re.DOTALL)
    lines = [json.loads(line) for line in examples.splitlines()]
    assert len(lines) == 3
    for line in lines:
        assert list(violations(line, SCHEMA, SCHEMA)) == []


def test_the_schema_refuses_what_is_wrong() -> None:
    line = ndjson(EVERYTHING)[0]
    for name, value in (("status", "fine"), ("mode", "640"), ("size", "1"), ("more", 1)):
        assert list(violations({**line, name: value}, SCHEMA, SCHEMA))
    del line["path"]
    assert list(violations(line, SCHEMA, SCHEMA))


def test_every_field_of_the_schema_is_documented() -> None:
    text = (DOCS / "scan-output.md").read_text()
    for kind in ("place", "entry", "gap", "coverage"):
        for name in SCHEMA["$defs"][kind]["properties"]:
            assert f"`{name}`" in text, name


def test_a_certificate_and_its_key_say_all_and_find_each_other() -> None:
    place = ndjson(EVERYTHING)[0]
    entries = place.pop("entries")
    assert place == {
        "path": "/a.pem", "format": "pem", "status": "read", "reason": "", "mode": "0640",
        "owner": "root", "group": "root", "uid": 0, "gid": 0, "size": 1234, "mtime": "2023-11-14T22:13:20Z",
        "file": place["file"], "role": "unknown", "use": "live", "readable_by": "group",
    }  # fmt: skip
    certificate, _, private_key = entries
    assert certificate["not_after"] == "2027-02-21T12:00:00Z"
    assert certificate["san"] == ["www.example.com"]
    assert "encrypted" not in certificate
    assert private_key == {
        "kind": "private-key", "key_id": certificate["key_id"], "algorithm": "rsa", "bits": 2048,
        "encrypted": False, "matches": [certificate["sha256"]],
    }  # fmt: skip


def test_a_key_without_a_certificate_has_no_matches_and_no_key_has_a_hash() -> None:
    (entry,) = ndjson(EVERYTHING)[2]["entries"]
    assert "matches" not in entry
    assert "sha256" not in entry


def test_bytes_that_are_no_text_are_kept_beside_the_escaped_path() -> None:
    lines = ndjson(EVERYTHING)
    assert lines[1]["path"] == "/b\\x0a\\xff.p12"
    assert lines[1]["path_b64"] == "L2IK/y5wMTI="
    assert "path_b64" not in lines[0]
    assert lines[2]["target"] == "/d\\\\e"
    assert lines[2]["target_b64"] == "L2RcZQ=="


def test_no_output_has_a_character_that_moves_the_cursor_or_hides() -> None:
    for write in (write_ndjson, write_json):
        stream = io.StringIO()
        write(EVERYTHING, COVERAGE, {}, stream)
        assert all(character.isprintable() or character == "\n" for character in stream.getvalue())
    stream = io.StringIO()
    write_csv(EVERYTHING, {}, stream)
    assert all(character.isprintable() or character == "\n" for character in stream.getvalue())


def test_coverage_is_the_last_line() -> None:
    last = ndjson(EVERYTHING)[-1]["coverage"]
    assert last["places"] == len(EVERYTHING)
    assert last["statuses"]["locked"] == 1
    assert last["gaps"] == [
        {"path": "/mnt/\\xff", "path_b64": "L21udC//", "reason": "unlisted", "detail": "EACCES"}
    ]
    assert last["counters"] == {"directories": 2, "files": 7}


@pytest.mark.parametrize("findings", [[], EVERYTHING])
def test_json_is_the_same_in_one_object(findings: list[Finding]) -> None:
    stream = io.StringIO()
    write_json(findings, COVERAGE, certificates_by_key(findings), stream)
    whole = json.loads(stream.getvalue())
    *places, end = ndjson(findings)
    assert whole == {"places": places, **end}


def test_csv_has_a_row_per_entry_and_is_safe_for_spreadsheets() -> None:
    stream = io.StringIO()
    write_csv(EVERYTHING, certificates_by_key(EVERYTHING), stream)
    header, *rows = list(csv.reader(io.StringIO(stream.getvalue())))
    assert tuple(header) == CSV_COLUMNS
    assert len(rows) == 3 + 1 + 1 + len(EntryKind) + 1
    by_name = [dict(zip(header, row, strict=True)) for row in rows]
    assert by_name[0]["is_ca"] == "false"
    assert by_name[2]["matches"] == by_name[0]["sha256"]
    assert by_name[3]["status"] == "locked"
    assert by_name[3]["kind"] == ""
    assert by_name[-1]["serial"] == "'-1f"
    assert by_name[-1]["subject"] == "CN==HYPERLINK()"
    assert by_name[-1]["san"] == "a \\u202eb"
    for row in rows:
        assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row)
    # Every cell is quoted.
    assert all(
        line.startswith('"') and line.endswith('"') for line in stream.getvalue().splitlines()
    )


def test_the_columns_of_the_csv_are_documented() -> None:
    text = (DOCS / "scan-output.md").read_text()
    assert ", ".join(f"`{name}`" for name in CSV_COLUMNS) in text


def test_a_time_stamp_that_no_calendar_holds_is_left_empty() -> None:
    one = finding(b"/a", detail())
    place = one.place
    object.__setattr__(place.facts, "mtime_ns", 10**30)
    assert ndjson([one])[0]["mtime"] == ""
