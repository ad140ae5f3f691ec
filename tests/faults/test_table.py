"""The table of docs/reliability.md names tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
PAGE = CHECKOUT / "docs" / "reliability.md"
# `folder/test_file.py::test_name`, `::test_name` of the file before, or a file alone.
_NAMED = re.compile(r"`((?:[a-z_0-9]+/)*[a-z_0-9]*(?:\.py)?)::([a-z_0-9]+)`")
_FILE = re.compile(r"`((?:[a-z_0-9]+/)+test_[a-z_0-9]+\.py)")


def test_every_test_that_the_table_names_is_there() -> None:
    text = PAGE.read_text()
    file, count = "", 0
    for found, name in _NAMED.findall(text):
        file = found or file
        source = (CHECKOUT / "tests" / file).read_text()
        assert re.search(rf"def {name}\(", source), f"{file} has no {name}"
        count += 1
    assert count > 20
    for found in _FILE.findall(text):
        assert (CHECKOUT / "tests" / found).is_file(), found


def test_faults_stand_in_the_order_of_their_numbers() -> None:
    numbers = [int(row) for row in re.findall(r"^\| (\d+)[ ,]", PAGE.read_text(), re.MULTILINE)]
    assert numbers == sorted(numbers)
    assert len(numbers) > 15
