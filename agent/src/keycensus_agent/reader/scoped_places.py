"""Places of containers and volumes: built as seen from in there, and kept true when a scope's root moves.

Runs in the reader. Owner names, and who can read a file, are those of the container's own root; where on the host that root
lies is the place's `prefix`. When a container or pod is replaced, its places move to the new root before the disk is looked at, so that only what
differs is a change.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace

from keycensus_agent.context.packages import Owners, PackageDatabases
from keycensus_agent.model import FileFacts, Parsed, Place, Scope
from keycensus_agent.reader.discovery.links import Resolved, Resolver
from keycensus_agent.reader.discovery.mounts import MountTable
from keycensus_agent.reader.findings import IN_SCOPE, Findings
from keycensus_agent.reader.places import PlaceBuilder
from keycensus_agent.reader.scopes import CONTAINER, ScopedResolver, Scopes
from keycensus_agent.reader.state import State

_KEY = "scopes"


class ScopedDatabases(PackageDatabases):
    """The package databases of the host, and of each container in which there are places."""

    def __init__(self, resolver: ScopedResolver, scopes: Scopes) -> None:
        super().__init__(resolver)
        self._resolver = resolver
        self._scopes = scopes

    def owners(self, paths: Collection[bytes]) -> Owners:
        """Return the owners of paths, each by the databases of its own root."""
        inside: dict[bytes, list[bytes]] = {}
        hosts: list[bytes] = []
        for path in paths:
            within = self._scopes.at(path)
            if within is None:
                hosts.append(path)
            else:
                inside.setdefault(within.prefix, []).append(path[len(within.prefix) :])
        whole = super().owners(hosts)
        found, unread = dict(whole.by_path), dict.fromkeys(whole.unread)
        for prefix, databases in self._databases():
            owners = databases.owners(inside.get(prefix, ()))
            found |= {prefix + path: package for path, package in owners.by_path.items()}
            unread |= dict.fromkeys(owners.unread)
        return Owners(found, tuple(unread))

    def mark(self) -> bytes:
        """Return what differs when a package came or went on the host, or in a container."""
        marks = hashlib.sha256(super().mark())
        for prefix, databases in self._databases():
            marks.update(prefix + b"\0" + databases.mark())
        return marks.digest()

    def _databases(self) -> Iterator[tuple[bytes, PackageDatabases]]:
        for prefix, scope in sorted(self._scopes.by_prefix.items()):
            if scope.kind == CONTAINER:
                with suppress(OSError):
                    yield prefix, PackageDatabases(self._resolver.inside(prefix))


class ScopedBuilder(PlaceBuilder):
    """Builds a place as its own scope sees it."""

    def __init__(self, salt: bytes, root: bytes, scopes: Scopes) -> None:
        super().__init__(salt, root)
        self._hosts = root.rstrip(b"/")
        self._scopes = scopes
        self._inner: dict[bytes, PlaceBuilder] = {}

    def build(self, path: bytes, facts: FileFacts, parsed: Parsed) -> Place:
        """Return the place of a file (see PlaceBuilder); the path is the host's."""
        within = self._scopes.at(path)
        inner = None if within is None else self._builder(within.prefix)
        if within is None or inner is None:
            return super().build(path, facts, parsed)
        place = inner.build(path[len(within.prefix) :], facts, parsed)
        # Device and inode are others whenever the container is replaced.
        return replace(place, path=path, scope=within.scope, prefix=within.prefix, file_id=b"")

    def access_of(self, place: Place) -> str:
        """Return who can read a place's file now, in its scope."""
        inner = self._builder(place.prefix) if place.prefix else None
        if inner is None:
            return super().access_of(place)
        cut = len(place.prefix)
        return inner.access_of(replace(place, path=place.path[cut:], target=place.target[cut:]))

    def barriers(self, directories: Iterable[bytes]) -> Iterator[bytes]:
        """Yield what differs when the way to one of `directories` was opened or closed."""
        hosts: list[bytes] = []
        inside: dict[bytes, list[bytes]] = {}
        for directory in directories:
            within = self._scopes.of_directory(directory)
            if within is None:
                hosts.append(directory)
            else:
                path = directory[len(within.prefix) :] or b"/"
                inside.setdefault(within.prefix, []).append(path)
        yield from super().barriers(hosts)
        for prefix, paths in sorted(inside.items()):
            inner = self._builder(prefix)
            if inner is not None:
                yield from inner.barriers(paths)

    def _builder(self, prefix: bytes) -> PlaceBuilder | None:
        """Return the builder of one scope; None if its root is gone."""
        if prefix not in self._inner:
            try:
                self._inner[prefix] = PlaceBuilder(self._salt, self._hosts + prefix)
            except OSError:
                return None
        return self._inner[prefix]


def settle_scopes(
    state: State, findings: Findings, scopes: Scopes, resolver: Resolver, mounts: MountTable
) -> None:
    """Have known places follow their scopes to where they are now. Before anything is looked at."""
    stored = state.get(_KEY)
    before = _decode(stored)
    kept = {prefix: scope for prefix, scope in before.items() if prefix not in scopes.by_prefix}
    if before == scopes.by_prefix and all(
        scope.instance == scopes.by_prefix[prefix].instance for prefix, scope in before.items()
    ):
        return
    roots = {(scope.kind, scope.name): prefix for prefix, scope in scopes.by_prefix.items()}
    with state.transaction():
        for prefix, scope in list(kept.items()):
            successor = roots.get((scope.kind, scope.name))
            if successor is not None:
                for path, place in findings.below(prefix):
                    moved = successor + path[len(prefix) :]
                    target = successor + place.target[len(prefix) :] if place.target else b""
                    fresh = replace(
                        place,
                        path=moved,
                        target=target,
                        prefix=successor,
                        scope=scopes.by_prefix[successor],
                    )
                    findings.move(path, fresh, mounts.at(moved).key)
                findings.move_trees(prefix, successor)
            elif isinstance(resolver.resolve(prefix), Resolved):
                continue
            else:
                findings.lose_all_below(prefix, "removed")
            del kept[prefix]
        for prefix, scope in scopes.by_prefix.items():
            for path, place in findings.below(prefix):
                if (place.prefix, place.scope.instance) != (prefix, scope.instance) or (
                    place.scope != scope
                ):
                    fresh = replace(place, prefix=prefix, scope=scope, file_id=b"")
                    findings.move(path, fresh, mounts.at(path).key)
        for layer in scopes.layers:
            findings.lose_all_below(layer, IN_SCOPE)
        state.put(_KEY, _encode({**kept, **scopes.by_prefix}))


def _encode(scopes: dict[bytes, Scope]) -> bytes:
    rows = [
        [
            base64.b64encode(prefix).decode(),
            scope.kind,
            base64.b64encode(scope.name).decode(),
            scope.instance,
        ]
        for prefix, scope in sorted(scopes.items())
    ]
    return json.dumps(rows).encode()


def _decode(stored: bytes) -> dict[bytes, Scope]:
    return {
        base64.b64decode(prefix): Scope(kind, base64.b64decode(name), instance)
        for prefix, kind, name, instance in json.loads(stored or b"[]")
    }
