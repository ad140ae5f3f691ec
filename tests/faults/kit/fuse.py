"""A file system whose server never answers: who touches it hangs until it is taken away.

    with SilentFileSystem(point, "fuse.sshfs"):
        ...

Needs root. Source: linux/fuse.h; mount(2).
"""

from __future__ import annotations

import ctypes
import os
import stat
from pathlib import Path
from types import TracebackType
from typing import Self

_LIBC = ctypes.CDLL(None, use_errno=True)
_MNT_DETACH = 2
# /dev/fuse, which is not everywhere where the kernel has it.
_FUSE = (10, 229)


class SilentFileSystem:
    """Mounts as the given type; the kernel's requests are never read."""

    def __init__(self, point: Path, kind: str) -> None:
        self._point = os.fsencode(point)
        self._kind = kind.encode()
        self._device = -1

    def __enter__(self) -> Self:
        node = self._point + b".device"
        os.mknod(node, stat.S_IFCHR | 0o600, os.makedev(*_FUSE))
        try:
            self._device = os.open(node, os.O_RDWR | os.O_CLOEXEC)
        finally:
            Path(os.fsdecode(node)).unlink()
        options = f"fd={self._device},rootmode=40000,user_id=0,group_id=0".encode()
        if _LIBC.mount(b"silent", self._point, self._kind, 0, options):
            code = ctypes.get_errno()
            os.close(self._device)
            raise OSError(code, os.strerror(code))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Without its server the connection is aborted, and whoever hangs gets an error.
        os.close(self._device)
        _LIBC.umount2(self._point, _MNT_DETACH)
