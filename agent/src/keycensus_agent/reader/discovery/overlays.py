"""The layers of mounted overlays: directories whose files are seen in the merged tree as well.

Source: mountinfo in proc(5), and the options of Documentation/filesystems/overlayfs.rst. Runs in the reader.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from keycensus_agent.reader.discovery.mounts import parent_of, unescape

# Between lower layers stands a colon; one that belongs to a name has a backslash.
_LAYER = re.compile(rb"(?:[^:\\]|\\.)+", re.DOTALL)


def layers(text: bytes, merged: frozenset[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Yield (mount point, directory) for each layer of the overlays mounted at `merged`, as written.

    A relative one is meant from the directory that holds the layers of all containers, where Docker mounts from.
    """
    for line in text.split(b"\n"):
        fields = line.split(b" ")
        try:
            separator = fields.index(b"-", 6)
            fs_type, options = fields[separator + 1], fields[separator + 3]
        except (ValueError, IndexError):
            continue
        point = unescape(fields[4])
        if fs_type != b"overlay" or point not in merged:
            continue
        for option in options.split(b","):
            name, _, value = option.partition(b"=")
            if name in (b"lowerdir", b"upperdir", b"lowerdir+"):
                for each in _LAYER.findall(unescape(value)):
                    layer = each.replace(b"\\:", b":")
                    if not layer.startswith(b"/"):
                        layer = parent_of(parent_of(point)).rstrip(b"/") + b"/" + layer
                    yield point, layer
