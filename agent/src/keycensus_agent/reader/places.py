"""From a file that holds something to a place: owner, access, role and use.

Runs in the reader. Role and use are judgements by path and content, the same for every host; the
rules are tables here and in `purpose.py`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from keycensus_agent.model import FileFacts, Parsed, Place, Role
from keycensus_agent.reader.access import ACL, Access, attribute
from keycensus_agent.reader.discovery.links import Resolved, Resolver
from keycensus_agent.reader.discovery.mounts import MountTable
from keycensus_agent.reader.purpose import (
    KUBERNETES_VERSION,
    role_by_path,
    role_of,
    use_of,
)

# A directory service may write out hundreds of thousands of users; beyond this, numbers will do.
_ACCOUNT_FILE_LIMIT = 16 * 1024 * 1024
_OPEN_ACCOUNTS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
_SELINUX = "security.selinux"


class Accounts:
    """Names of users or groups by number, from a passwd or group file; read again when it changes.

    Not by the C library: it would ask directory services over the network, and know nothing of
    another root.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._mark: tuple[int, int, int] | None = None
        self._names: dict[int, str] = {}

    def name(self, number: int) -> str:
        """Return the name of user or group `number`; "" if the file has none."""
        try:
            facts = self._file.lstat()
        except OSError:
            return ""
        mark = (facts.st_ino, facts.st_mtime_ns, facts.st_size)
        if mark != self._mark:
            self._names = self._read()
            self._mark = mark
        return self._names.get(number, "")

    def _read(self) -> dict[int, str]:
        try:
            descriptor = os.open(self._file, _OPEN_ACCOUNTS)
            with os.fdopen(descriptor, "rb") as file:
                text = file.read(_ACCOUNT_FILE_LIMIT)
        except OSError:
            return {}
        names: dict[int, str] = {}
        for line in text.split(b"\n"):
            fields = line.split(b":")
            if len(fields) >= 3 and fields[2].isdigit() and len(fields[2]) <= 10:
                # The first line of a number wins, as for getpwuid(3).
                names.setdefault(int(fields[2]), fields[0].decode("utf-8", "backslashreplace"))
        return names


class PlaceBuilder:
    """Builds places of one root directory.

    `salt` is this host's: it keeps file identities from being compared between hosts. `root` is a
    directory of the running system; paths are given within it.
    """

    def __init__(self, salt: bytes, root: bytes = b"/") -> None:
        self._salt = salt
        self._prefix = root.rstrip(b"/")
        passwd, group = _within(root, b"/etc/passwd", b"/etc/group")
        self._users = Accounts(passwd)
        self._groups = Accounts(group)
        self._access = Access(self._prefix, self._users.name, self._groups.name)

    def build(self, path: bytes, facts: FileFacts, parsed: Parsed) -> Place:
        """Return the place of a file under its own name `path`, canonical within the root."""
        acl = self._attribute(path, ACL)
        return Place(
            path=path,
            status=parsed.status,
            facts=facts,
            manifest=parsed.manifest,
            reason=parsed.reason,
            format=parsed.format,
            owner=self._users.name(facts.uid),
            group=self._groups.name(facts.gid),
            acl=acl,
            selinux_label=self._attribute(path, _SELINUX)
            .rstrip(b"\0")
            .decode("utf-8", "backslashreplace"),
            file_id=file_identity(self._salt, facts.device, facts.inode),
            role=role_of(path, parsed),
            use=use_of(path, self._current_version(path)),
            readable_by=self._access.readable_by(path, facts, acl),
        )

    def access_of(self, place: Place) -> str:
        """Return who can read a place's file now, the way to it counted."""
        return self._access.readable_by(place.target or place.path, place.facts, place.acl)

    def barriers(self, directories: Iterable[bytes]) -> Iterator[bytes]:
        """Yield what differs when the way to one of `directories` was opened or closed."""
        return self._access.barriers(directories)

    def for_link(self, path: bytes, target_path: bytes, target: Place) -> Place:
        """Return the place of a symbolic link that leads to the file of `target`.

        `target_path` is where it ends, canonical within the root. What the link's own path says of
        role and use goes before what the target's path says.
        """
        role = role_by_path(path)
        if role is Role.TRUST_STORE and target.role is not Role.TRUST_STORE:
            role = Role.UNKNOWN if target.role is Role.UNKNOWN else target.role
        return replace(
            target,
            path=path,
            target=target_path,
            package=None,
            role=target.role if role is Role.UNKNOWN else role,
            use=use_of(path, self._current_version(path)),
        )

    def _current_version(self, path: bytes) -> bytes:
        """Return where `..data` leads, for a path in a Kubernetes volume; else empty."""
        version = KUBERNETES_VERSION.match(path)
        if version is None:
            return b""
        try:
            link = Path(os.fsdecode(self._prefix + version[1])) / "..data"
            return os.fsencode(link.readlink())
        except OSError:
            return b""

    def _attribute(self, path: bytes, name: str) -> bytes:
        return attribute(self._prefix + path, name)


def _within(root: bytes, *paths: bytes) -> list[Path]:
    """Return where paths of a root are, links followed within it, as paths of this system."""
    root_fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        resolver = Resolver(root_fd, MountTable.parse(b""))
        ends = [(path, resolver.resolve(path)) for path in paths]
    finally:
        os.close(root_fd)
    return [
        Path(os.fsdecode(root.rstrip(b"/") + (end.path if isinstance(end, Resolved) else path)))
        for path, end in ends
    ]


def file_identity(salt: bytes, device: int, inode: int) -> bytes:
    """Return what two names of one file share; it says nothing outside of this host."""
    identity = device.to_bytes(8, "big") + inode.to_bytes(8, "big")
    return hashlib.sha256(b"keycensus file v1\0" + salt + identity).digest()[:16]
