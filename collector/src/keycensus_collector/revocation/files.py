"""Revocation lists in files that the configuration names: looked at again when they change.

The files and directories are the operator's choice (`revocation.files`, `revocation.directories`). No
address that stands in a certificate is ever followed: whatever fetches lists puts them there.
"""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import structlog

from keycensus_collector.catalogue.parser import CatalogueParser, ParserUnavailableError
from keycensus_collector.clock import Clock
from keycensus_collector.errors import UsageError
from keycensus_collector.imports.artifact_files import FILE_BYTES, read_artifacts
from keycensus_collector.revocation.bringing import Brought, bring, read_brought
from keycensus_collector.store.engine import Store
from keycensus_collector.text import safe_path

LOOK_SECONDS = 60.0
# Files of one directory that are looked at; nobody keeps more lists.
_FILES = 10_000

_log = structlog.get_logger(__name__)

_State = tuple[int, int, int]


class ListFiles:
    """Looks at the files of one configuration; `look` takes those that changed since the last look."""

    def __init__(
        self, store: Store, clock: Clock, files: tuple[Path, ...], directories: tuple[Path, ...]
    ) -> None:
        self._store = store
        self._clock = clock
        self._files = files
        self._directories = directories
        self._seen: dict[Path, _State] = {}
        self._missing: set[Path] = set()

    async def look(self) -> int:
        """Take the lists of files that are new or changed; return how many lists were brought."""
        changed = await asyncio.to_thread(lambda: dict(self._changed()))
        brought = 0
        with CatalogueParser() as parser:
            for path, state in changed.items():
                try:
                    lists = await asyncio.to_thread(_read, path, parser)
                except (OSError, ValueError, UsageError) as error:
                    _log.warning(
                        "revocation.file-refused", file=safe_path(bytes(path)), why=str(error)
                    )
                except ParserUnavailableError as error:
                    _log.warning(
                        "revocation.file-put-off", file=safe_path(bytes(path)), why=str(error)
                    )
                    continue
                else:
                    origin = f"file {safe_path(bytes(path))}"
                    take = partial(bring, lists=lists, origin=origin, now_ms=self._clock.now_ms())
                    await self._store.run_write(take)
                    brought += len(lists)
                self._seen[path] = state
        return brought

    def _changed(self) -> Iterator[tuple[Path, _State]]:
        for path in self._paths():
            try:
                found = path.stat()
            except OSError as error:
                self._note_missing(path, error)
                continue
            self._missing.discard(path)
            state = (found.st_mtime_ns, found.st_size, found.st_ino)
            if stat.S_ISREG(found.st_mode) and self._seen.get(path) != state:
                yield path, state

    def _paths(self) -> Iterator[Path]:
        yield from self._files
        for directory in self._directories:
            try:
                names = sorted(directory.iterdir())[:_FILES]
            except OSError as error:
                self._note_missing(directory, error)
                continue
            self._missing.discard(directory)
            yield from names

    def _note_missing(self, path: Path, error: OSError) -> None:
        """Say once that something can't be looked at."""
        if path not in self._missing:
            self._missing.add(path)
            _log.warning(
                "revocation.file-unreadable", file=safe_path(bytes(path)), why=error.strerror
            )


def _read(path: Path, parser: CatalogueParser) -> list[Brought]:
    """Return the lists of a file; ValueError, UsageError or OSError if it is none, or can't be read."""
    with path.open("rb") as file:
        data = file.read(FILE_BYTES + 1)
    if len(data) > FILE_BYTES:
        raise ValueError(f"longer than {FILE_BYTES:,} bytes")
    lists = read_artifacts(data, parser).lists
    if not lists:
        raise ValueError("there is no revocation list in it")
    return read_brought(lists, parser)
