"""Where the reader is on the disk at this moment, for the watchdog: two assignments a file.

A system call on a disk that does not answer can't be broken off, so somebody else has to say where it is. Runs in
the reader.
"""

from __future__ import annotations


class Whereabouts:
    """`at` is (directory, name) while that is opened, listed or read, else None.

    Each visit is another tuple, so that two looks that find the same one find it in the same visit.
    """

    __slots__ = ("at",)

    def __init__(self) -> None:
        self.at: tuple[bytes, str | bytes] | None = None

    def path(self, at: tuple[bytes, str | bytes]) -> bytes:
        """Return a visit as one path."""
        directory, name = at
        raw = name.encode("utf-8", "surrogateescape") if isinstance(name, str) else name
        return directory.rstrip(b"/") + b"/" + raw if raw else directory


# This process's one reader.
HERE = Whereabouts()
