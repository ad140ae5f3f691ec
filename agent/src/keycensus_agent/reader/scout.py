"""A second process that lists part of the disk while the reader lists the rest.

An unchanged disk costs a stat of every file and nothing else, and half of that can be had on another
core. The scout only lists: it sends the digest that `memory` makes of each directory, and the
reader compares. Where something differs, or is new, the reader lists that directory again itself, so
nothing that is stored or reported comes from here. If the scout fails, the reader walks its part.

The scout is the agent's own program, started by exec; it holds no state and opens no file.
"""

from __future__ import annotations

import base64
import fcntl
import json
import marshal
import os
import stat
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from keycensus_agent.collection import collect_seldom
from keycensus_agent.model import Gap
from keycensus_agent.reader.discovery.directory import Directory
from keycensus_agent.reader.discovery.exclude import Exclude
from keycensus_agent.reader.discovery.listing import digest_of, encode_listing, listing_of
from keycensus_agent.reader.discovery.mounts import MountTable
from keycensus_agent.reader.discovery.walk import stay_within, walk

# Directories in one frame, and what the pipe holds: the reader looks in now and then only.
_RECORDS_PER_FRAME = 64
_PIPE_BYTES = 1 << 20
_LENGTH = struct.Struct(">I")
_END = b""
# Its parent directory's listing says this better, and that is the reader's part.
_SAID_ELSEWHERE = frozenset(
    {"ENOENT", "ENOTDIR", "ELOOP", "pseudo-file-system", "network-file-system", "automount"}
)

# (name, device, inode, how many names the file has) of each link that leads to a regular file.
LinkTargets = list[tuple[str, int, int, int]]


@dataclass(frozen=True, slots=True)
class Task:
    """What the scout walks: roots, and the rules of the walk. Only for the host's own root."""

    roots: tuple[bytes, ...]
    exclude: tuple[str, ...]
    own: tuple[bytes, ...]
    network: bool


class Scouted(NamedTuple):
    """One directory as the scout saw it; made for each, and so a tuple, which is four times as fast."""

    path: bytes
    mount: bytes
    digest: bytes
    listed: bool
    files: int
    links: list[str]
    targets: LinkTargets


class ScoutError(Exception):
    """The scout ended before it was through."""


class Scout:
    """The reader's end. `drain` gives what has arrived; `finish` waits for the rest."""

    def __init__(self, task: Task) -> None:
        self.roots = task.roots
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-B", "-m", "keycensus_agent.reader.scout"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={},
            cwd="/",
        )
        assert self._process.stdin is not None  # noqa: S101 - asked for above
        assert self._process.stdout is not None  # noqa: S101 - asked for above
        self._pipe = self._process.stdout.fileno()
        _widen(self._pipe)
        self._buffer = bytearray()
        self._ended = False
        with self._process.stdin as stdin:
            stdin.write(_encode_task(task))

    def drain(self) -> Iterator[Scouted | Gap]:
        """Yield what has arrived, without waiting."""
        os.set_blocking(self._pipe, False)
        try:
            while piece := os.read(self._pipe, _PIPE_BYTES):
                self._buffer += piece
        except BlockingIOError:
            pass
        yield from self._take_frames()

    def finish(self) -> Iterator[Scouted | Gap]:
        """Yield the rest as it comes; ScoutError if the scout broke off."""
        os.set_blocking(self._pipe, True)
        while piece := os.read(self._pipe, _PIPE_BYTES):
            self._buffer += piece
            yield from self._take_frames()
        yield from self._take_frames()
        if self._process.wait() != 0 or not self._ended:
            raise ScoutError

    def close(self) -> None:
        """End the process, whatever it is at."""
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _take_frames(self) -> Iterator[Scouted | Gap]:
        start = 0
        while len(self._buffer) - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer, start)
            end = start + _LENGTH.size + length
            if len(self._buffer) < end:
                break
            frame = bytes(self._buffer[start + _LENGTH.size : end])
            start = end
            if frame == _END:
                self._ended = True
                break
            # From our own child, which has parsed nothing.
            gaps, records = marshal.loads(frame)  # noqa: S302
            for prefix, reason, detail in gaps:
                yield Gap(prefix, reason, detail)
            for record in records:
                yield Scouted(*record)
        del self._buffer[:start]


def _widen(pipe: int) -> None:
    try:
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    except OSError:
        # The user's share of pipe memory is used up: it works with less, only slower.
        return


def _encode_task(task: Task) -> bytes:
    def text(paths: Sequence[bytes]) -> list[str]:
        return [base64.b64encode(path).decode() for path in paths]

    job = {
        "roots": text(task.roots),
        "own": text(task.own),
        "exclude": [base64.b64encode(os.fsencode(glob)).decode() for glob in task.exclude],
        "network": task.network,
    }
    return json.dumps(job).encode()


# --- the scout's own end ----------------------------------------------------------------------


def main() -> int:
    """Read a task from stdin, write frames to stdout; returns the exit status."""
    collect_seldom()
    job = json.load(sys.stdin.buffer)
    exclude = Exclude(
        tuple(os.fsdecode(base64.b64decode(glob)) for glob in job["exclude"]),
        own=frozenset(base64.b64decode(path) for path in job["own"]),
    )
    roots = [base64.b64decode(path) for path in job["roots"]]
    try:
        _scout(roots, exclude, sys.stdout.buffer, network=bool(job["network"]))
    except BrokenPipeError:
        # The reader was asked to stop; nobody wants the rest.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


def _scout(roots: list[bytes], exclude: Exclude, out: BinaryIO, *, network: bool) -> None:
    gaps: list[tuple[bytes, str, str]] = []
    records: list[tuple[object, ...]] = []
    mounts = MountTable.read()
    walked = walk(roots, exclude=exclude, mounts=mounts, network=network)
    for item in stay_within(walked, roots):
        if isinstance(item, Gap):
            if not (item.prefix in roots and item.detail in _SAID_ELSEWHERE):
                gaps.append((item.prefix, item.reason, item.detail))
            continue
        gaps += [(gap.prefix, gap.reason, gap.detail) for _, gap in item.pruned if gap is not None]
        records.append(_record(item))
        if len(records) >= _RECORDS_PER_FRAME:
            _write_frame(out, marshal.dumps((gaps, records), 2))
            gaps, records = [], []
    _write_frame(out, marshal.dumps((gaps, records), 2))
    _write_frame(out, _END)
    out.flush()


def _record(directory: Directory) -> tuple[object, ...]:
    return (
        directory.path,
        directory.mount.key,
        digest_of(encode_listing(listing_of(directory))),
        directory.listed,
        len(directory.files),
        directory.links,
        link_targets(directory) if directory.links else [],
    )


def link_targets(directory: Directory) -> LinkTargets:
    """Return where the links of a directory lead, for those that end at a regular file."""
    targets: LinkTargets = []
    for name in directory.links:
        try:
            facts = os.stat(name, dir_fd=directory.fd)
        except OSError:
            continue
        if stat.S_ISREG(facts.st_mode):
            targets.append((name, facts.st_dev, facts.st_ino, facts.st_nlink))
    return targets


def _write_frame(out: BinaryIO, frame: bytes) -> None:
    out.write(_LENGTH.pack(len(frame)) + frame)


if __name__ == "__main__":
    sys.exit(main())
