"""What the walk hands on: one directory at a time, with everything that lstat says of its names."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from keycensus_agent.model import Gap


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of mountinfo that the walk is on (proc(5)).

    `key` is what makes a mount the same one later: 16 bytes of SHA-256 over type, source, root and
    mount point. Device numbers are not part of it: they change between boots.
    """

    key: bytes
    type: str
    source: bytes
    root: bytes
    mount_point: bytes


@dataclass(slots=True)
class Directory:
    """One directory, listed.

    `path` is canonical, within the scanned root, as bytes; `fd` is open until the walk is advanced.
    Names are as `os.scandir` gives them for a descriptor: text with surrogate escapes. `files` holds
    the regular files with their lstat result, in listing order, or `names` without it, if the walk
    was asked for names only; `links` the symbolic links.
    `children` holds the names of sub-directories that the walk will enter, `pruned` those that it
    will not, each with the gap it stands for, or None where policy says that nothing is there
    (pseudo file systems, the agent's own state).
    `listed` is false when the listing broke off: then nothing that is missing from it is gone.
    """

    path: bytes
    fd: int
    mount: Mount
    files: list[tuple[str, os.stat_result]]
    links: list[str]
    children: list[str]
    pruned: list[tuple[str, Gap | None]]
    listed: bool
    names: list[str] = field(default_factory=list)
