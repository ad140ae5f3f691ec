"""Which names of a directory are told as one tree: a trust store as a distribution's package brings it.

Pure. Runs in the reader. Debian's /etc/ssl/certs has 290 names for 142 files, the same on every host: told
one by one they are 290 rows a host and drown the two that somebody put there. So names that lead to
files of one package, alike in all that a row says of them (root's, of one ordinary mode, for everybody to read),
are one place, whose manifest lists names with their manifests; every other name stays a place of its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from keycensus_agent.model import FileFacts, Package, Place, Role, Status, Use

# Below it, names one by one are what a person wants to see.
FEWEST_NAMES = 16
# protos/README.md, section 8: a tree is no longer than another manifest. A directory with more is told file by file.
MOST_NAMES = 4096
MOST_NAME_BYTES = 300_000
# Not for group or others to write, and no bits beyond permissions.
_UNUSUAL_MODE = 0o7022


@dataclass(frozen=True, slots=True)
class Candidate:
    """A place of a directory, the package of the file that it leads to, and what the file holds.

    `plain`: nothing but certificates and revocation lists, in a manifest without parts.
    """

    place: Place
    package: Package | None
    plain: bool


@dataclass(frozen=True, slots=True)
class Tree:
    """One directory's names, sorted, each with its manifest, and what is said of all their files.

    `place` is the row without the tree's own manifest.
    """

    place: Place
    names: tuple[tuple[bytes, bytes], ...]


def grow(directory: bytes, candidates: Iterable[Candidate]) -> Tree | None:
    """Return the tree of a directory; None if it has none, and all names are places of their own.

    Where packages or modes differ, the names of the most frequent kind are the tree.
    """
    kinds: dict[Place, list[tuple[bytes, bytes]]] = defaultdict(list)
    for candidate in candidates:
        place = candidate.place
        if _is_ordinary(candidate):
            name = place.path.rpartition(b"/")[2]
            kinds[_told_of_all(directory, place, candidate.package)].append((name, place.manifest))
    if not kinds:
        return None
    # The smallest text of two kinds that are equally frequent: the choice must not change by itself.
    told, names = min(kinds.items(), key=lambda kind: (-len(kind[1]), repr(kind[0])))
    size = sum(len(name) for name, _ in names)
    if not FEWEST_NAMES <= len(names) <= MOST_NAMES or size > MOST_NAME_BYTES:
        return None
    return Tree(told, tuple(sorted(names)))


def _is_ordinary(candidate: Candidate) -> bool:
    place = candidate.place
    return (
        candidate.plain
        and candidate.package is not None
        and place.role is Role.TRUST_STORE
        and place.status is Status.READ
        and place.use is Use.LIVE
        and bool(place.manifest)
        and place.facts.uid == 0
        and not place.facts.mode & _UNUSUAL_MODE
        and place.readable_by == "world"
        and not place.acl
    )


def _told_of_all(directory: bytes, place: Place, package: Package | None) -> Place:
    """Return a place's row without what differs from name to name."""
    facts = place.facts
    return Place(
        path=directory,
        status=place.status,
        facts=FileFacts(0, 0, facts.mode, facts.uid, facts.gid, 0, 0, 0, 0),
        format="tree",
        owner=place.owner,
        group=place.group,
        selinux_label=place.selinux_label,
        role=place.role,
        use=place.use,
        readable_by=place.readable_by,
        package=package,
        scope=place.scope,
        prefix=place.prefix,
    )
