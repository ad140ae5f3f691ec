"""What the reader does with an archive: hand its descriptor to the parser, and see that it stayed as it was.

Runs in the reader, on files of strangers. An archive may be larger than what memory allows, so its bytes
do not go through the reader: the parser, which can't open anything, reads from what is handed over.
"""

from __future__ import annotations

import os

from keycensus_agent.descriptors import OpenFile
from keycensus_agent.parser.triage import ZIP_END_BYTES, ends_as_zip


def open_again(descriptor: int, size: int) -> OpenFile:
    """Return another descriptor of the same open file."""
    return OpenFile(os.dup(descriptor), size)


def has_zip(descriptor: int, size: int) -> bool:
    """Tell whether a program, or a script, is the front of a zip."""
    return ends_as_zip(os.pread(descriptor, ZIP_END_BYTES, max(0, size - ZIP_END_BYTES)))
