"""Files parsed by the real child, behind its filter of system calls."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from keycensus_agent.descriptors import OpenFile
from keycensus_agent.model import Parsed
from keycensus_agent.reader.parser_client import ParserClient
from keycensus_agent.reader.passwords import PasswordFile


def behind_the_filter(
    files: Iterable[Path], *passwords: str, archives: bool = False
) -> dict[Path, Parsed]:
    """Parse in the real child, and see that it was held while it did."""
    everything = re.compile(".*", re.DOTALL)
    rows = tuple((everything, password) for password in passwords)
    found: dict[Path, Parsed] = {}
    paths = list(files)
    with ParserClient(passwords=PasswordFile(rows), details=True) as client:
        for ticket, path in enumerate(paths):
            if archives:
                client.submit_archive(ticket, _opened(path), path.name.encode())
            else:
                client.submit(ticket, path.read_bytes(), path.name.encode())
            found.update({paths[done]: parsed for done, parsed in client.results(wait=False)})
        while client.in_flight:
            found.update({paths[done]: parsed for done, parsed in client.results(wait=True)})
        assert client.enforced is not None
        assert client.enforced["seccomp"]
        assert client.enforced["capabilities"] == []
    return found


def _opened(path: Path) -> OpenFile:
    return OpenFile(os.open(path, os.O_RDONLY), path.stat().st_size)
