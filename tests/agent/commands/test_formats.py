from __future__ import annotations

import argparse

import pytest

from keycensus_agent.commands import formats
from keycensus_agent.parser.archive.table import ARCHIVES
from keycensus_agent.parser.formats.table import FORMATS, TEXT_FORMATS


def test_every_format_is_printed_on_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert formats.run(argparse.Namespace()) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [
        "format",
        *(row.name for row in FORMATS),
        *(row.name for row in TEXT_FORMATS),
        *(row.name for row in ARCHIVES),
    ]
