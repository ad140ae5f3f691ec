"""Findings for scripts: JSON, NDJSON and CSV, whole and escaped, the same to a pipe and a terminal."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from typing import TextIO

from keycensus_agent.context.bindings import NOTHING, Context
from keycensus_agent.model import Coverage, Finding
from keycensus_agent.output.around import COLUMNS as AROUND_COLUMNS
from keycensus_agent.output.around import Record, columns
from keycensus_agent.output.records import (
    CertificatesByKey,
    coverage_record,
    entry_records,
    place_fields,
    place_record,
)

CSV_COLUMNS = (
    *(
        "path",
        "path_b64",
        "format",
        "status",
        "reason",
        "mode",
        "owner",
        "group",
        "uid",
        "gid",
        "size",
        "mtime",
    ),
    *("target", "target_b64", "file", "role", "use", "readable_by", "package", "package_version"),
    *("kind", "member", "sha256", "key_id"),
    *("subject", "issuer", "serial", "not_before", "not_after", "san", "is_ca", "self_signed"),
    *("signature_algorithm", "algorithm", "bits", "curve", "encrypted", "matches", "known_key"),
    # Columns that are added come last: scripts may count on the place of those before.
    *AROUND_COLUMNS,
)
# What a spreadsheet takes for the start of a formula (CWE-1236).
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def write_ndjson(
    findings: Sequence[Finding],
    coverage: Coverage,
    certificates: CertificatesByKey,
    stream: TextIO,
    context: Context = NOTHING,
) -> None:
    """Write one object per place and line, then one `{"coverage": …}` object."""
    records = (place_record(finding, certificates, context) for finding in findings)
    stream.writelines(_json(record) + "\n" for record in records)
    stream.write(_json({"coverage": coverage_record(coverage, findings)}) + "\n")


def write_json(
    findings: Sequence[Finding],
    coverage: Coverage,
    certificates: CertificatesByKey,
    stream: TextIO,
    context: Context = NOTHING,
) -> None:
    """Write one object with `places` and `coverage`; a place stands on a line of its own."""
    stream.write('{"places": [')
    for number, finding in enumerate(findings):
        stream.write(",\n " if number else "\n ")
        stream.write(_json(place_record(finding, certificates, context)))
    stream.write("\n],\n")
    stream.write(f'"coverage": {_json(coverage_record(coverage, findings))}}}\n')


def write_csv(
    findings: Sequence[Finding],
    certificates: CertificatesByKey,
    stream: TextIO,
    context: Context = NOTHING,
) -> None:
    """Write one row per entry, and one for each place without entries. Coverage has no rows here."""
    writer = csv.writer(stream, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for finding in findings:
        where = (finding.place.path, finding.place.target)
        around = columns(context.bindings_of(*where), context.renewer_of(*where))
        place = {**place_fields(finding), **around}
        # The place's reason says why it was not read whole; an entry's own is in the JSON.
        for entry in entry_records(finding, certificates) or [{}]:
            row = {**entry, **place}
            writer.writerow([_cell(row.get(column, "")) for column in CSV_COLUMNS])


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    text = " ".join(value) if isinstance(value, list) else str(value)
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def _json(record: Record) -> str:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":"))
