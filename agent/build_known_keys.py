"""Make `known_keys.txt`, the private keys that are published in libraries' test suites.

    python agent/build_known_keys.py DIRECTORY

DIRECTORY holds source archives as their publishers made them, got with the ordinary clients:

    apt-get source --download-only curl gnutls28 golang-1.19 mbedtls nodejs openssl python3.11
    pip download --no-deps cryptography-vectors
    pip download --no-deps --no-binary :all: requests tornado twisted urllib3 …

Every archive is unpacked aside and scanned by this agent itself; of each private key that lies there unencrypted its
key id is written down, with the archive and the first path that has it. Nothing else of it is kept.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from keycensus_agent.model import EntryKind
from keycensus_agent.reader.parser_client import ParserClient
from keycensus_agent.reader.scan import ScanRequest, scan
from keycensus_agent.text import safe_path

_TOP = Path(__file__).parents[1]
# The agent knows no collector and the collector no agent: each has the list.
LISTS = (
    _TOP / "agent/src/keycensus_agent/known_keys.txt",
    _TOP / "collector/src/keycensus_collector/inventory/known_keys.txt",
)
# The upstream source of a Debian source package, a source distribution or a wheel.
_ARCHIVE = re.compile(
    r"(?P<name>.+?)[-_](?P<version>\d[^-_]*?)"
    r"(?:\+dfsg)?(?:\.orig)?(?:-py3-none-any)?\.(?:tar\.(?:gz|xz|bz2)|whl|zip)"
)
_TITLE = """\
# Private keys that are published in test suites: key id, archive, first path in it.
# Made by agent/build_known_keys.py; not to be edited.
"""


def main(directory: str) -> None:
    """Write the list from all archives in a directory."""
    found: dict[str, str] = {}
    for archive in sorted(Path(directory).iterdir()):
        match = _ARCHIVE.fullmatch(archive.name)
        if match is None:
            continue
        before = len(found)
        for key_id, path in _private_keys(archive):
            found.setdefault(key_id, f"{match['name']} {match['version']}, {path}")
        sys.stderr.write(f"{archive.name}: {len(found) - before} keys\n")
    lines = [f"{key_id} {source}\n" for key_id, source in sorted(found.items())]
    for file in LISTS:
        file.write_text(_TITLE + "".join(lines), "utf-8")


def _private_keys(archive: Path) -> Iterator[tuple[str, str]]:
    """Yield key id and path of each unencrypted private key of an archive, by path."""
    with tempfile.TemporaryDirectory() as place:
        if archive.suffix in {".whl", ".zip"}:
            shutil.unpack_archive(archive, place, "zip")
        else:
            subprocess.run(["tar", "-C", place, "-xf", archive, "--no-same-owner"], check=True)
        top = [entry.name for entry in Path(place).iterdir()]
        with ParserClient() as parser:
            request = ScanRequest(root=os.fsencode(place))
            findings = scan(request, parser, salt=b"").findings
        for finding in findings:
            path = safe_path(finding.place.path)[1:]
            for entry in finding.parsed.entries:
                if entry.kind is EntryKind.PRIVATE_KEY and not entry.encrypted:
                    yield entry.artifact.hex(), path.partition("/")[2] if len(top) == 1 else path


if __name__ == "__main__":
    main(*sys.argv[1:])
