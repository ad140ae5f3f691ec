"""Which file system is where: own reading of mountinfo, and what the walk stays out of.

Runs in the reader. psutil's list of disks is no help: it drops every file system without a device,
and with it tmpfs (Kubernetes secrets, /tmp) and the overlay that is a container's root. What is
pseudo or on a network is decided here by its type, before anything under it is touched: a dead
NFS server would hang the first system call.
"""

from __future__ import annotations

import hashlib
import re
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from keycensus_agent.reader.discovery.directory import Mount

if TYPE_CHECKING:
    from collections.abc import Iterable

MOUNTINFO = Path("/proc/self/mountinfo")

# File systems that the kernel makes up. No certificate or key lives there as a file; reading some
# of their files blocks or changes the machine.
PSEUDO_TYPES = frozenset(
    {
        "proc",
        "sysfs",
        "devtmpfs",
        "devpts",
        "cgroup",
        "cgroup2",
        "cpuset",
        "debugfs",
        "tracefs",
        "bpf",
        "securityfs",
        "pstore",
        "mqueue",
        "hugetlbfs",
        "configfs",
        "fusectl",
        "binfmt_misc",
        "efivarfs",
        "nsfs",
        "rpc_pipefs",
        "selinuxfs",
        "smackfs",
        "apparmorfs",
        "resctrl",
        "pipefs",
        "sockfs",
        "anon_inodefs",
        "nfsd",
        "binder",
        "functionfs",
        "gadgetfs",
        "ocfs2_dlmfs",
        "dax",
        "fuse.lxcfs",
        "fuse.gvfsd-fuse",
        "fuse.portal",
        "fuse.snapfuse-ctl",
        "openpromfs",
        "spufs",
    }
)

# File systems whose answers come from another machine; every `fuse.*` type that is not known to be
# local counts as one too.
NETWORK_TYPES = frozenset(
    {
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "ncpfs",
        "ncp",
        "ceph",
        "glusterfs",
        "lustre",
        "9p",
        "afs",
        "coda",
        "gpfs",
        "gfs",
        "gfs2",
        "ocfs2",
        "beegfs",
        "orangefs",
        "pvfs2",
        "panfs",
        "quobyte",
        "wekafs",
        "moosefs",
        "acfs",
        "vboxsf",
        "vmhgfs",
        "prl_fs",
        "virtiofs",
        "fuse",
        "davfs",
    }
)
_LOCAL_FUSE_TYPES = frozenset(
    {
        "fuse.fuse-overlayfs",
        "fuse.mergerfs",
        "fuse.unionfs",
        "fuse.unionfs-fuse",
        "fuse.bindfs",
        "fuse.encfs",
        "fuse.gocryptfs",
        "fuse.cryfs",
        "fuse.ntfs",
        "fuse.ntfs-3g",
        "fuse.exfat",
        "fuse.squashfuse",
        "fuse.snapfuse",
        "fuse.zfs",
        "fuse.ext2",
        "fuse.fuse-ext2",
        "fuse.posixovl",
    }
)

_OCTAL_ESCAPE = re.compile(rb"\\([0-7]{3})")


class Territory(Enum):
    """What kind of ground a mount is, for the walk."""

    LOCAL = "local"
    PSEUDO = "pseudo"
    NETWORK = "network"
    # Entering it would make the kernel mount something, perhaps from a machine that is away.
    AUTOMATIC = "automatic"


def territory(fs_type: str) -> Territory:
    """Tell which ground a file system type is; an unknown one is local."""
    if fs_type in PSEUDO_TYPES:
        return Territory.PSEUDO
    if fs_type == "autofs":
        return Territory.AUTOMATIC
    if fs_type in NETWORK_TYPES:
        return Territory.NETWORK
    if fs_type.startswith("fuse.") and fs_type not in _LOCAL_FUSE_TYPES:
        return Territory.NETWORK
    return Territory.LOCAL


class MountTable:
    """The mounts that can be reached, by mount point, as paths within the scanned root.

    `points` holds every mount point but the root itself, `parents` the directories that such a
    point lies directly in: a walk asks `path in table.parents` once for each directory.
    """

    def __init__(self, root_mount: Mount, below: dict[bytes, Mount]) -> None:
        self._root_mount = root_mount
        self._below = below
        self.points = frozenset(below)
        self.parents = frozenset(parent_of(point) for point in below)
        grounds = {territory(mount.type) for mount in below.values()}
        # Whether following a link with a plain stat could hang or mount something.
        self.has_remote = bool(grounds & {Territory.NETWORK, Territory.AUTOMATIC})

    def at(self, path: bytes) -> Mount:
        """Return the mount that the canonical `path` is on: the deepest one over it."""
        while path not in (b"/", b""):
            found = self._below.get(path)
            if found is not None:
                return found
            path = parent_of(path)
        return self._root_mount

    def islands(self, path: bytes) -> list[bytes]:
        """Return the local mount points under the pseudo file system at `path` (/dev/shm in /dev)."""
        prefix = path.rstrip(b"/") + b"/"
        return sorted(
            point
            for point, mount in self._below.items()
            if point.startswith(prefix)
            and territory(mount.type) is Territory.LOCAL
            and territory(self.at(parent_of(point)).type) is Territory.PSEUDO
        )

    @classmethod
    def read(cls, root: bytes = b"/") -> MountTable:
        """Read this process's own mounts, seen from the canonical directory `root`."""
        return cls.parse(read_mountinfo(), root)

    @classmethod
    def parse(cls, text: bytes, root: bytes = b"/") -> MountTable:
        """Build the table from the text of mountinfo (proc(5)); lines that are none are skipped."""
        reachable = _reachable(_parse_lines(text))
        whole = cls(
            reachable.pop(b"/", _mount("", b"", b"/", b"/")),
            reachable,
        )
        return whole if root == b"/" else whole.seen_from(root)

    def seen_from(self, root: bytes) -> MountTable:
        """Return the mounts at and below a directory, as paths within it."""
        prefix = root.rstrip(b"/") + b"/"
        below = {
            b"/" + point[len(prefix) :]: mount
            for point, mount in self._below.items()
            if point.startswith(prefix)
        }
        return MountTable(self.at(root), below)


def read_mountinfo() -> bytes:
    """Return this process's own mountinfo; nothing without /proc: all counts as one local mount."""
    try:
        return MOUNTINFO.read_bytes()
    except OSError:
        return b""


def parent_of(path: bytes) -> bytes:
    """Return the directory part of an absolute path; "/" for "/" itself."""
    return path[: path.rfind(b"/")] or b"/"


def mount_key(fs_type: str, source: bytes, fs_root: bytes, point: bytes) -> bytes:
    """Return what makes a mount the same one later, 16 bytes (see Mount)."""
    identity = b"".join(
        len(part).to_bytes(4, "big") + part for part in (fs_type.encode(), source, fs_root, point)
    )
    return hashlib.sha256(b"keycensus mount v1\0" + identity).digest()[:16]


def _mount(fs_type: str, source: bytes, fs_root: bytes, point: bytes) -> Mount:
    key = mount_key(fs_type, source, fs_root, point)
    return Mount(key=key, type=fs_type, source=source, root=fs_root, mount_point=point)


def _parse_lines(text: bytes) -> Iterable[tuple[bytes, bytes, Mount]]:
    """Yield (mount id, parent id, mount) of each line, in the kernel's order."""
    for line in text.split(b"\n"):
        fields = line.split(b" ")
        try:
            # Optional fields end at a lone "-"; type and source follow it.
            separator = fields.index(b"-", 6)
            fs_type, source = fields[separator + 1], fields[separator + 2]
        except (ValueError, IndexError):
            continue
        mount = _mount(
            fs_type.decode("ascii", "backslashreplace"),
            unescape(source),
            unescape(fields[3]),
            unescape(fields[4]),
        )
        yield fields[0], fields[1], mount


def unescape(field: bytes) -> bytes:
    """Return a field of mountinfo as it was before the kernel wrote some of its bytes in octal."""
    return _OCTAL_ESCAPE.sub(lambda match: bytes([int(match[1], 8) & 0xFF]), field)


def _reachable(lines: Iterable[tuple[bytes, bytes, Mount]]) -> dict[bytes, Mount]:
    """Resolve each mount point as the kernel would, so that covered mounts fall out.

    A mount is entered from its parent mount at its point, as often as something is mounted over;
    what was mounted below a point before another mount covered that point can't be reached.
    """
    mounts: dict[bytes, Mount] = {}
    parents: dict[bytes, bytes] = {}
    for mount_id, parent_id, mount in lines:
        mounts[mount_id] = mount
        parents[mount_id] = parent_id
    # Mounts whose parent is outside (a chroot's view) hang under the id b"".
    steps = {
        (
            parent if parent in mounts and parent != mount_id else b"",
            mounts[mount_id].mount_point,
        ): mount_id
        for mount_id, parent in parents.items()
    }
    reachable: dict[bytes, Mount] = {}
    for point in {mount.mount_point for mount in mounts.values()}:
        current = b""
        for prefix in _prefixes(point):
            # Each step consumes a different mount; the bound stops at a table that loops.
            for _ in range(len(mounts)):
                entered = steps.get((current, prefix))
                if entered is None or entered == current:
                    break
                current = entered
        if current and mounts[current].mount_point == point:
            reachable[point] = mounts[current]
    return reachable


def _prefixes(path: bytes) -> Iterable[bytes]:
    yield b"/"
    end = path.find(b"/", 1)
    while end != -1:
        yield path[:end]
        end = path.find(b"/", end + 1)
    if path != b"/":
        yield path
