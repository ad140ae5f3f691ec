"""What the walk hands on: one directory at a time, with what tells a changed file from an unchanged one."""

from __future__ import annotations

from dataclasses import dataclass, field

from keycensus_agent.model import Gap

# What tells one state of a regular file from another: name, inode, ctime in ns, size in bytes.
FileMark = tuple[str, int, int, int]
# What stands in the mark of a file that is never opened, whatever it becomes: nobody asked.
NOT_ASKED = (0, 0, -1)


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
    the marks of the regular files in listing order (`NOT_ASKED` in those of `unopened` ones), or `names` their names alone, if the walk was
    asked for those only; `links` the symbolic links.
    `children` holds the names of sub-directories that the walk will enter, `pruned` those that it
    will not, each with the gap it stands for, or None where policy says that nothing is there
    (pseudo file systems, the agent's own state).
    `listed` is false when the listing broke off: then nothing that is missing from it is gone.
    """

    path: bytes
    fd: int
    mount: Mount
    files: list[FileMark]
    links: list[str]
    children: list[str]
    pruned: list[tuple[str, Gap | None]]
    listed: bool
    names: list[str] = field(default_factory=list)
