from __future__ import annotations

from pathlib import Path

import keycensus_agent.parser.formats
from keycensus_agent.parser.formats.table import ALL_FORMATS

SOURCES = Path(next(iter(keycensus_agent.parser.formats.__path__)))
DOCS = Path(__file__).resolve().parents[4] / "docs" / "formats.md"


def test_every_format_has_a_row_a_test_file_and_a_heading_in_the_docs() -> None:
    modules = {path.stem for path in SOURCES.glob("*.py")} - {"__init__", "table"}
    tests = {path.stem for path in Path(__file__).parent.glob("test_*.py")} - {"test_table"}
    assert {f"test_{module}" for module in modules} == tests
    assert len({row.name for row in ALL_FORMATS}) == len(ALL_FORMATS) == len(modules)
    text = DOCS.read_text(encoding="utf-8")
    for row in ALL_FORMATS:
        assert f"## {row.name}\n" in text
        assert row.description in text
        assert all(f"`.{suffix}`" in text for suffix in row.suffixes)
