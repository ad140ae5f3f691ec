"""A trust store as Debian has one: a package's files, links to them by name and by hash, one bundle."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from fakes.certificates import Leaf

STORE = "usr/share/ca-certificates/mozilla"
LINKS = "etc/ssl/certs"


@dataclass(frozen=True)
class Roots:
    """The authorities of a trust store, by file name."""

    by_name: dict[str, Leaf]

    @classmethod
    def make(cls, count: int) -> Roots:
        """Make so many."""
        names = [f"Root_{number:03}.crt" for number in range(count)]
        return cls({name: Leaf(name, authority=True) for name in names})

    @property
    def names(self) -> list[str]:
        return list(self.by_name)

    def renewed(self, name: str) -> Roots:
        """Return them with another certificate under one name."""
        return replace(self, by_name={**self.by_name, name: Leaf(name, authority=True)})


def write_store(root: Path, roots: Roots, *, version: str = "1") -> None:
    """Install them under a root directory, as the package and its trigger would."""
    for directory in (STORE, LINKS, "var/lib/dpkg/info"):
        (root / directory).mkdir(parents=True, exist_ok=True)
    for number, (name, leaf) in enumerate(roots.by_name.items()):
        install(root / STORE / name, leaf.pem)
        named = (root / LINKS / name).with_suffix(".pem")
        for link, target in ((named, f"/{STORE}/{name}"), (_hashed(root, number), named.name)):
            if not link.is_symlink():
                link.symlink_to(target)
    install(root / LINKS / "ca-certificates.crt", b"".join(r.pem for r in roots.by_name.values()))
    paths = "".join(f"/{STORE}/{name}\n" for name in roots.names)
    install(root / "var/lib/dpkg/info/ca-certificates.list", f"/.\n{paths}".encode())
    status = f"Package: ca-certificates\nStatus: install ok installed\nVersion: {version}\n"
    install(root / "var/lib/dpkg/status", f"{status}Architecture: all\n\n".encode())


def _hashed(root: Path, number: int) -> Path:
    return root / LINKS / f"{number:08x}.0"


def install(file: Path, content: bytes) -> None:
    """Put a file in the other's place, as dpkg does, if it says something else."""
    if file.exists() and file.read_bytes() == content:
        return
    fresh = file.with_name(file.name + ".dpkg-new")
    fresh.write_bytes(content)
    os.chmod(fresh, 0o644)  # noqa: PTH101 - whatever the umask
    fresh.rename(file)
