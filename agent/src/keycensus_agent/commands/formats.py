"""`keycensus-agent formats`: what the agent can read."""

from __future__ import annotations

import argparse

from keycensus_agent.parser.archive.table import ARCHIVES
from keycensus_agent.parser.formats.table import ALL_FORMATS


def run(arguments: argparse.Namespace) -> int:
    """Print the tables of formats and of archives; return the exit status."""
    del arguments
    rows = [("format", "reads", "usual suffixes")]
    rows += [(row.name, row.description, " ".join(row.suffixes)) for row in ALL_FORMATS]
    rows += [(row.name, row.description, " ".join(row.suffixes)) for row in ARCHIVES]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    for name, description, suffixes in rows:
        print(f"{name:{widths[0]}}  {description:{widths[1]}}  {suffixes}")
    return 0
