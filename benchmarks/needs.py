"""What a benchmark needs of this machine, said before anything is measured."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping

from fakes.machine import SYSTEMD

from benchmarks.measure import NotReadyError

# Programs and files that it stands on, each with the Debian package that brings it.
PACKAGED = {
    "debootstrap": "debootstrap",
    "dpkg-deb": "dpkg",
    "readelf": "binutils",
    "python3.11": "python3.11",
    "git": "git",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    str(SYSTEMD): "systemd",
}


def need(what: str, programs: Mapping[str, str] = PACKAGED) -> None:
    """Raise NotReadyError, with what to install, unless all programs are there and this is root."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = [name for name in programs if shutil.which(name, path=path) is None]
    if missing:
        packages = " ".join(sorted({programs[name] for name in missing}))
        raise NotReadyError(
            f"{what} needs {', '.join(missing)}, not found here: apt-get install {packages}"
        )
    if os.geteuid() != 0:
        raise NotReadyError(
            f"{what} needs root: it makes mounts, namespaces and a system of its own"
        )
