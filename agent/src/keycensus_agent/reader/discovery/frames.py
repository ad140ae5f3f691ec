"""The way down to where a walk is: directories whose descriptors stay open, but not all of them.

Runs in the reader. A directory whose descriptor was given up is opened again component by component,
and must then still be the same one.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from keycensus_agent.reader.discovery.directory import Mount
from keycensus_agent.reader.discovery.links import PASS_DIRECTORY, errno_name

# Directories on the way down whose descriptors stay open; the soft limit of a process is 1,024.
OPEN_FRAMES = 128


@dataclass(slots=True)
class Frame:
    """A listed directory whose children are still to be entered.

    `fd` is -1 while given up; `identity` (device, inode) is taken at that moment.
    """

    fd: int
    path: bytes
    mount: Mount
    children: list[str]
    identity: tuple[int, int] = (0, 0)


class Way:
    """The listed directories from a walk's root down to the innermost."""

    def __init__(self, root_fd: int) -> None:
        self._root_fd = root_fd
        self.frames: list[Frame] = []
        # Frames before this index have given up their descriptor.
        self._open_from = 0

    def close(self) -> None:
        """Close every descriptor that is still open."""
        for frame in self.frames:
            if frame.fd >= 0:
                os.close(frame.fd)

    def enter(self, frame: Frame) -> None:
        """Make `frame` the innermost; beyond `OPEN_FRAMES` the outermost descriptor is given up."""
        self.frames.append(frame)
        if len(self.frames) - self._open_from > OPEN_FRAMES:
            outermost = self.frames[self._open_from]
            facts = os.fstat(outermost.fd)
            outermost.identity = (facts.st_dev, facts.st_ino)
            os.close(outermost.fd)
            outermost.fd = -1
            self._open_from += 1

    def leave(self) -> None:
        """Give up the innermost directory."""
        frame = self.frames.pop()
        if frame.fd >= 0:
            os.close(frame.fd)
        self._open_from = min(self._open_from, len(self.frames))

    def reopen(self) -> str:
        """Open the innermost frame again, and its ancestors as far as the bound allows.

        Returns "" or why not: an errno name, or "replaced" if another directory is there now.
        """
        first = max(0, len(self.frames) - OPEN_FRAMES)
        wanted = {len(components_of(frame.path)): frame for frame in self.frames[first:]}
        opened: list[tuple[Frame, int]] = []
        trouble = ""
        descriptor = os.dup(self._root_fd)
        try:
            for depth, name in enumerate([b".", *components_of(self.frames[-1].path)]):
                entered = os.open(name, PASS_DIRECTORY, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = entered
                frame = wanted.get(depth)
                if frame is None:
                    continue
                opened.append((frame, os.dup(descriptor)))
                facts = os.fstat(descriptor)
                if (facts.st_dev, facts.st_ino) != frame.identity:
                    trouble = "replaced"
                    break
        except OSError as error:
            trouble = errno_name(error)
        finally:
            os.close(descriptor)
        for frame, fd in opened:
            if trouble:
                os.close(fd)
            else:
                frame.fd = fd
        if not trouble:
            self._open_from = first
        return trouble


def components_of(path: bytes) -> list[bytes]:
    """Return the names that an absolute path is made of."""
    return path.split(b"/")[1:] if path != b"/" else []
