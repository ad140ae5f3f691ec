"""Which Alpine package owns a path: apk's database, one text file.

Format: apk-tools' doc/apk-installed(5): stanzas of `P:` name, `V:` version, `F:` directory, and under it
`R:` for each file. Runs in the reader; one pass for all paths at once.
"""

from __future__ import annotations

from collections.abc import Collection

from keycensus_agent.context.root_files import RootFiles
from keycensus_agent.model import Package

# From apk-tools 3 on a system with a merged /usr has it there.
DATABASES = (b"/lib/apk/db/installed", b"/usr/lib/apk/db/installed")
_LIMIT = 128 * 1024 * 1024


class Apk:
    """The database of one root."""

    def __init__(self, files: RootFiles) -> None:
        self._files = files

    def owners(self, paths: Collection[bytes]) -> dict[bytes, Package]:
        """Return the package of each of `paths` that one owns; OSError."""
        database = next((path for path in DATABASES if self._files.find(path)), None)
        if database is None:
            return {}
        directories = {path.rpartition(b"/")[0] for path in paths}
        wanted = set(paths)
        found: dict[bytes, Package] = {}
        name, version, directory = b"", b"", b""
        for line in self._files.read(database, _LIMIT).split(b"\n"):
            kind = line[:2]
            if kind == b"R:":
                if directory in directories and directory + b"/" + line[2:] in wanted:
                    package = Package("apk", _text(name), _text(version))
                    found.setdefault(directory + b"/" + line[2:], package)
            elif kind == b"F:":
                directory = b"/" + line[2:] if line[2:] else b""
            elif kind == b"P:":
                name, version, directory = line[2:], b"", b""
            elif kind == b"V:":
                version = line[2:]
        return found


def _text(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")
