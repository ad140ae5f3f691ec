"""Services of kinds that nobody here knows: known places whose paths stand in text files below /etc.

Runs in the reader, and only if it is told which places there are. It finds a path that is written whole and
without blanks; what a name is for is not known.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from itertools import islice

from keycensus_agent.context.bindings import Binding
from keycensus_agent.context.root_files import open_regular, read_up_to
from keycensus_agent.context.services.bind import Server, bind
from keycensus_agent.context.sources import Sources, to_bytes, to_text
from keycensus_agent.reader.discovery.links import errno_name

_TOP = b"/etc"
_DEPTH = 6
_FILE_LIMIT = 256 * 1024
_BYTES_LIMIT = 32 * 1024 * 1024
_NAMES_LIMIT = 20_000
_PATH = re.compile(r"/[\w.@%+~*\-\udc80-\udcff/]{3,}")
# Directories whose files hold certificates, names or policy, and configure no service by a path.
_PASSED = frozenset(
    {
        *(b"/etc/ssl", b"/etc/pki", b"/etc/ca-certificates", b"/etc/alternatives", b"/etc/selinux"),
        *(
            b"/etc/apparmor.d",
            b"/etc/fonts",
            b"/etc/ssh/moduli",
            b"/etc/services",
            b"/etc/keycensus",
        ),
        *(
            b"/etc/systemd",
            b"/etc/letsencrypt/archive",
            b"/etc/letsencrypt/live",
            # Read as certbot's own; it says who renews, which is no use.
            b"/etc/letsencrypt/renewal",
            b"/etc/kubernetes/pki",
        ),
        *(b"/etc/apt", b"/etc/ld.so.cache", b"/etc/dpkg", b"/etc/terminfo", b"/etc/X11"),
    }
)


def read(
    sources: Sources, places: Collection[bytes], known: Collection[bytes]
) -> Iterator[Binding]:
    """Yield where one of `places` is named in a file that is none of the configurations `known`.

    Both are absolute paths as the walk knows them.
    """
    wanted = {path for path in places if path.count(b"/") > 1} if places else set()
    if not wanted:
        return
    for path, text in _texts(sources, known, places):
        yield from _in_text(sources, path, text, wanted)


def _in_text(
    sources: Sources, path: str, text: str, wanted: Collection[bytes]
) -> Iterator[Binding]:
    found: set[bytes] = set()
    for match in _PATH.finditer(text):
        written = match[0].rstrip(".")
        place = to_bytes(written)
        if place in wanted and place not in found:
            line_start = text.rfind("\n", 0, match.start()) + 1
            if text[line_start : match.start()].lstrip().startswith(("#", ";", "//")):
                continue
            found.add(place)
            line = text.count("\n", 0, match.start()) + 1
            yield bind(sources, Server("unknown"), (path, line), "mention", written)


def _texts(
    sources: Sources, known: Collection[bytes], places: Collection[bytes]
) -> Iterator[tuple[str, str]]:
    """Yield the text files below /etc that are neither configurations that were read nor places."""
    pending = [(_TOP, 0)]
    left = _BYTES_LIMIT
    while pending and left > 0:
        directory, depth = pending.pop()
        try:
            with sources.files.open_directory(directory) as descriptor:
                with os.scandir(descriptor) as entries:
                    found = list(islice(entries, _NAMES_LIMIT))
                for entry in sorted(found, key=lambda entry: entry.name):
                    path = directory + b"/" + os.fsencode(entry.name)
                    if path in _PASSED or path in known or path in places:
                        continue
                    if entry.is_dir(follow_symlinks=False) and depth < _DEPTH:
                        pending.append((path, depth + 1))
                    elif entry.is_file(follow_symlinks=False):
                        data = _read(descriptor, entry.name)
                        left -= len(data)
                        if b"/" in data and b"\0" not in data:
                            yield to_text(path), to_text(data)
        except OSError as error:
            sources.note(to_text(directory), 0, f"not searched ({errno_name(error)})")
    if pending:
        sources.note(to_text(_TOP), 0, "not searched whole: too much text")


def _read(directory: int, name: str) -> bytes:
    """Return a file's first bytes; nothing if it can't be read."""
    try:
        descriptor = open_regular(directory, name)
    except OSError:
        return b""
    try:
        return read_up_to(descriptor, _FILE_LIMIT)
    except OSError:
        return b""
    finally:
        os.close(descriptor)
