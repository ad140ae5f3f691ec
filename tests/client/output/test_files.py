"""CSV and JSON."""

from __future__ import annotations

import csv
import io
import json

import pytest

from keycensus_client.model import Match
from keycensus_client.output.files import csv_cell, print_csv, print_json


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_starts_like_a_formula(start: str) -> None:
    assert csv_cell(f"{start}1+1") == f"'{start}1+1"
    assert csv_cell([f"{start}1", "b"]) == f"'{start}1 b"


def test_values_become_cells() -> None:
    assert [csv_cell(value) for value in (None, True, -3, "a=b", [], ["x", "y"])] == [
        "", "true", "-3", "a=b", "", "x y",
    ]  # fmt: skip


def test_csv_quotes_everything_and_reads_back(capsys: pytest.CaptureFixture[str]) -> None:
    print_csv(["a", "b"], [['x"y', "1,2\n3"]])
    text = capsys.readouterr().out
    assert text.splitlines()[0] == '"a","b"'
    assert list(csv.reader(io.StringIO(text)))[1] == ['x"y', "1,2\n3"]


def test_json_has_objects_for_dataclasses(capsys: pytest.CaptureFixture[str]) -> None:
    match = Match("host", "1", "ä")
    print_json([match])
    print_json(match)
    text = capsys.readouterr().out
    assert "ä" in text
    assert json.loads(text[: text.index("]") + 1]) == [{"kind": "host", "id": "1", "name": "ä"}]
