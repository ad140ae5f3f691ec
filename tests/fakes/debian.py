"""A Debian 12 of its own, made by debootstrap, and the package: each once for all tests of a run.

Several processes run the tests; the first that asks makes it while the others wait, and nothing stays
for the next run. Needs root, and debootstrap, which fetches what a minimal Debian is made of.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from keycensus_deb.build import build, source_date
from keycensus_deb.release import BOOKWORM
from keycensus_deb.wheels import fetch_wheels

_TIMEOUT = 280
_MOUNTS = frozenset({"proc", "sys", "dev", "run", "tmp"})
# In memory, because dpkg waits for the disk after each file; what it fetched is not needed again.
_BOOTSTRAP = """
set -eu
umask 022
mount -t tmpfs -o mode=0755 tmpfs /mnt
mkdir /mnt/root
debootstrap --variant=minbase --include="$INCLUDE" "$CODENAME" /mnt/root >"$1.log" 2>&1 || {
    tail -n 20 "$1.log" >&2
    exit 1
}
rm -rf /mnt/root/var/cache/apt/archives /mnt/root/var/lib/apt/lists
cp -a /mnt/root "$1"
"""


class Factory(Protocol):
    """Who says where files of a run go: pytest's factory of temporary directories, or a benchmark."""

    def getbasetemp(self) -> Path:
        """Return the directory of this run."""


@dataclass(frozen=True, slots=True)
class Installed:
    """A minimal Debian with the package in it; `before` are the names that were there without."""

    root: Path
    package: Path
    before: frozenset[str]


def installed(factory: Factory) -> Installed:
    """Return a Debian in which the package was installed as into an image: nothing runs there.

    It is not to be written to: who boots it sees a copy.
    """
    deb = package(factory)
    listing = "keycensus-before"

    def make(target: Path) -> None:
        _bootstrap(target)
        target.with_name(listing).write_text("\n".join(sorted(names(target))))
        (target / "root" / deb.name).write_bytes(deb.read_bytes())
        install = ("apt-get", "--yes", "--quiet", "--no-install-recommends", "install")
        done = inside(target, *install, f"/root/{deb.name}")
        assert done.returncode == 0, done.stdout + done.stderr

    root = _once(factory, "debian", make)
    before = root.with_name(listing).read_text().splitlines()
    return Installed(root, deb, frozenset(before))


def package(factory: Factory) -> Path:
    """Return the agent's package, packed in haste; its wheels lie beside it, in wheels/."""

    def make(target: Path) -> None:
        target.mkdir()
        environment = os.environ | {"SOURCE_DATE_EPOCH": str(source_date())}
        fetch_wheels(BOOKWORM.python, target / "wheels", environment)
        build(BOOKWORM, target, level=0, wheels=target / "wheels")

    [file] = _once(factory, "package", make).glob("*.deb")
    return file


def names(root: Path) -> set[str]:
    """Return the names of all files and directories below a root, but those of its first levels' mounts."""
    found: set[str] = set()
    for directory, below, files in os.walk(root):
        place = "/" + os.path.relpath(directory, root) if directory != str(root) else ""
        if not place:
            below[:] = [name for name in below if name not in _MOUNTS]
        found.update(f"{place}/{name}" for name in (*below, *files))
    return found


def _bootstrap(target: Path) -> None:
    settings = {
        "CODENAME": BOOKWORM.codename,
        "INCLUDE": "python3.11,systemd,procps",
        "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin",
        "LC_ALL": "C.UTF-8",
    }
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", _BOOTSTRAP, "sh", str(target)],
        capture_output=True,
        text=True,
        check=False,
        timeout=_TIMEOUT,
        env=settings,
    )
    assert done.returncode == 0, done.stderr


def inside(root: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a system that is not running."""
    path = "/usr/sbin:/usr/bin:/sbin:/bin"
    return subprocess.run(
        ["chroot", root, *command],
        capture_output=True,
        text=True,
        check=False,
        timeout=_TIMEOUT,
        env={"PATH": path, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"},
    )


def _once(factory: Factory, name: str, make: Callable[[Path], None]) -> Path:
    """Return a path of this run, made by the first process that asks; a failure is everybody's."""
    shared = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    target, done = shared / f"keycensus-{name}", shared / f"keycensus-{name}.done"
    with (shared / f"keycensus-{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            assert not target.exists(), f"making {target} failed before"
            make(target)
            done.touch()
    return target
