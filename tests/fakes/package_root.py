"""A root directory whose package databases are asked."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from keycensus_agent.context.packages import Owners, PackageDatabases
from keycensus_agent.reader.discovery.links import Resolver
from keycensus_agent.reader.discovery.mounts import MountTable

LOCAL = MountTable.parse(b"1 0 0:1 / / rw - ext4 /dev/vda rw\n")


@contextmanager
def databases_of(root: Path) -> Iterator[PackageDatabases]:
    """Give the databases of a root."""
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield PackageDatabases(Resolver(descriptor, LOCAL))
    finally:
        os.close(descriptor)


def owners_in(root: Path, *paths: bytes) -> Owners:
    """Look paths of a root up."""
    with databases_of(root) as databases:
        return databases.owners(paths)


def names_in(root: Path, *paths: bytes) -> dict[bytes, str]:
    """Return the packages' names with their versions, by path; every database must be readable."""
    owners = owners_in(root, *paths)
    assert owners.unread == ()
    return {path: f"{found.name} {found.version}" for path, found in owners.by_path.items()}
