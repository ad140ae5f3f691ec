"""Who can read a file: its mode and access list, and the directories on the way to it.

Runs in the reader. A key of mode 0644 in a directory of mode 0700 is nobody else's to read; a list may let one
person read it whom the mode does not name. Directories are asked once each.
Rules: acl(5), path_resolution(7). The owner and root are nobody else.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from keycensus_agent.model import FileFacts

ACL = "system.posix_acl_access"
# include/uapi/linux/posix_acl_xattr.h: a version, then (tag, permissions, id) each.
_VERSION = struct.pack("<I", 2)
_ENTRY = struct.Struct("<HHI")
_USER, _GROUP_OWNER, _GROUP, _MASK = 0x02, 0x04, 0x08, 0x10
_READ, _SEARCH = 4, 1
# Everybody may search a directory with these bits; most have them.
_SEARCH_BITS = 0o011

# Readers that are named; the rest is "more". A list may have hundreds, and names of 256 characters.
_NAMED = 8
_NAME_LENGTH = 24

Names = Callable[[int], str]


@dataclass(frozen=True, slots=True)
class _Rights:
    """What a mode and an access list grant, as (number, permissions); the mask is applied."""

    other: int
    group: int
    users: tuple[tuple[int, int], ...] = ()
    groups: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class _Barrier:
    """A directory that not everybody may search. Its access list is read when it matters."""

    path: bytes
    mode: int
    uid: int
    gid: int

    @cached_property
    def rights(self) -> _Rights:
        return rights_of(self.mode, attribute(self.path, ACL))

    @property
    def users(self) -> set[int]:
        """Users who are named here: its owner, and those of the list."""
        return {self.uid, *(number for number, _ in self.rights.users)}

    @property
    def groups(self) -> set[int]:
        """Groups that are named here: its own, and those of the list."""
        return {self.gid, *(number for number, _ in self.rights.groups)}

    def lets_everybody(self) -> bool:
        """Whether anybody may pass who is not named here."""
        return bool(self.mode & _SEARCH)

    def lets_group(self, gid: int) -> bool:
        """Whether members of a group may pass, if they are nothing else here."""
        if gid == self.gid:
            return bool(self.rights.group & _SEARCH)
        return bool(dict(self.rights.groups).get(gid, self.rights.other) & _SEARCH)

    def lets_user(self, uid: int) -> bool:
        """Whether a user may pass, if he is in no group that is named here."""
        if uid == self.uid:
            return bool(self.mode >> 6 & _SEARCH)
        return bool(dict(self.rights.users).get(uid, self.rights.other) & _SEARCH)


class Access:
    """Judges access to files below `prefix`, the root; names of users and groups by their number.

    The root's own directory lets everybody pass: what it is in is an accident of who unpacked it.
    """

    def __init__(self, prefix: bytes, user_name: Names, group_name: Names) -> None:
        self._prefix = prefix
        self._user_name = user_name
        self._group_name = group_name
        self._barriers: dict[bytes, tuple[_Barrier, ...]] = {b"": ()}

    def readable_by(self, path: bytes, facts: FileFacts, acl: bytes) -> str:
        """Return who can read a file beyond its owner and root.

        "world"; or else, joined by blanks, "group" (the file's own), "user:NAME", "group:NAME" (by an
        access list, or because a directory lets only them pass), "more"; "owner" if there is nobody.
        `path` is canonical.
        """
        rights = rights_of(facts.mode, acl)
        barriers = self._on_the_way(path.rpartition(b"/")[0])
        if rights.other & _READ and all(barrier.lets_everybody() for barrier in barriers):
            return "world"
        readers = []
        if rights.group & _READ and all(barrier.lets_group(facts.gid) for barrier in barriers):
            readers.append("group")
        readers += self._users(facts, rights, barriers)
        readers += self._groups(facts, rights, barriers)
        named = readers[:_NAMED] if len(readers) <= _NAMED else [*readers[:_NAMED], "more"]
        return " ".join(named) or "owner"

    def _users(
        self, facts: FileFacts, rights: _Rights, barriers: tuple[_Barrier, ...]
    ) -> Iterator[str]:
        named = dict(rights.users)
        passing = set().union(*(barrier.users for barrier in barriers))
        for uid in sorted(passing.union(named) - {0, facts.uid}):
            granted = named.get(uid, rights.other)
            if granted & _READ and all(barrier.lets_user(uid) for barrier in barriers):
                yield f"user:{_word(self._user_name(uid), uid)}"

    def _groups(
        self, facts: FileFacts, rights: _Rights, barriers: tuple[_Barrier, ...]
    ) -> Iterator[str]:
        named = dict(rights.groups)
        passing = set().union(*(barrier.groups for barrier in barriers))
        for gid in sorted(passing.union(named) - {0, facts.gid}):
            granted = named.get(gid, rights.other)
            if granted & _READ and all(barrier.lets_group(gid) for barrier in barriers):
                yield f"group:{_word(self._group_name(gid), gid)}"

    def barriers(self, directories: Iterable[bytes]) -> Iterator[bytes]:
        """Yield what differs when the way to one of `directories` was opened or closed."""
        for directory in directories:
            for barrier in self._on_the_way(directory.rstrip(b"/")):
                yield b"%b\0%o %d %d %b\n" % (
                    *(barrier.path, barrier.mode, barrier.uid, barrier.gid),
                    repr(barrier.rights).encode(),
                )

    def _on_the_way(self, directory: bytes) -> tuple[_Barrier, ...]:
        """Return the directories from the root to `directory` (b"" is the root) that not all may pass."""
        missing: list[bytes] = []
        while (known := self._barriers.get(directory)) is None:
            missing.append(directory)
            directory = directory.rpartition(b"/")[0]
        for directory in reversed(missing):
            known += self._at(directory)
            self._barriers[directory] = known
        return known

    def _at(self, directory: bytes) -> tuple[_Barrier, ...]:
        whole = self._prefix + directory
        try:
            # Asked of each directory that has places, at each sweep: a path object costs as much again.
            facts = os.lstat(whole)
        except OSError:
            return ()  # it vanished, or its path is too long: the file's own rights are what is left
        mode = facts.st_mode & 0o7777
        if mode & _SEARCH_BITS == _SEARCH_BITS:
            return ()
        return (_Barrier(whole, mode, facts.st_uid, facts.st_gid),)


def rights_of(mode: int, acl: bytes) -> _Rights:
    """Return what a mode and an access list (as the kernel keeps it) grant; a broken list is none."""
    other, group = mode & 7, mode >> 3 & 7
    if not acl.startswith(_VERSION) or (len(acl) - len(_VERSION)) % _ENTRY.size:
        return _Rights(other, group)
    entries = list(_ENTRY.iter_unpack(acl[len(_VERSION) :]))
    mask = next((granted for tag, granted, _ in entries if tag == _MASK), 7)
    for tag, granted, _ in entries:
        if tag == _GROUP_OWNER:
            # With a list the mode's middle bits are its mask.
            group = granted & mask
    return _Rights(
        other,
        group,
        tuple((number, granted & mask) for tag, granted, number in entries if tag == _USER),
        tuple((number, granted & mask) for tag, granted, number in entries if tag == _GROUP),
    )


def attribute(path: bytes, name: str) -> bytes:
    """Return an extended attribute; empty if there is none, or none can be read."""
    try:
        return os.getxattr(path, name, follow_symlinks=False)
    except (OSError, ValueError):
        return b""


def _word(name: str, number: int) -> str:
    """Return a name that a list joined by blanks can hold, else the number."""
    fits = 0 < len(name) <= _NAME_LENGTH and not any(map(str.isspace, name))
    return name if fits else str(number)
