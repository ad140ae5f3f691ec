"""Which trees of this host are another name space's: running containers, and volumes of pods.

What lies in one is told by its path in there, under a name that stays when the container or pod is replaced; the
directory where the host has it, which changes with each replacement, is where it is looked for. The layers of a running container's overlay
are seen in its merged tree and not walked besides. Runs in the reader.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from keycensus_agent.context.containers import DOCKER, STORAGE, Container, containers
from keycensus_agent.context.pods import volumes, workload_of
from keycensus_agent.context.root_files import RootFiles
from keycensus_agent.model import Scope
from keycensus_agent.reader.discovery.links import (
    PASS_DIRECTORY,
    Resolved,
    Resolver,
    Unresolved,
    open_beneath,
)
from keycensus_agent.reader.discovery.mounts import MountTable, parent_of
from keycensus_agent.reader.discovery.overlays import layers

CONTAINER, POD_VOLUME = "container", "pod-volume"
# Where container engines keep layers; an overlay of somebody else's layers is walked as it always was.
_STORES = tuple(store + b"/" for store in (DOCKER, STORAGE, b"/var/lib/containerd"))
# What the kubelet calls a container that Docker or CRI-O keeps: container, pod, namespace, UID, attempt.
_KUBELETS = re.compile(r"k8s_([^_]+)_([^_]+)_([^_]+)_[^_]+_\d+\Z")


@dataclass(frozen=True, slots=True)
class Within:
    """The scope of a path, and where its root is on this host."""

    prefix: bytes
    scope: Scope


class Scopes:
    """Scopes by the directory that is their root, and directories that are layers of theirs."""

    def __init__(
        self, by_prefix: Mapping[bytes, Scope] | None = None, layers: Iterable[bytes] = ()
    ) -> None:
        self.by_prefix = dict(by_prefix or {})
        self.layers = frozenset(layers)

    def at(self, path: bytes) -> Within | None:
        """Return the scope of a path below a scope's root; None for the host's own."""
        if not self.by_prefix:
            return None
        while path != b"/":
            path = parent_of(path)
            scope = self.by_prefix.get(path)
            if scope is not None:
                return Within(path, scope)
        return None

    def of_directory(self, directory: bytes) -> Within | None:
        """Return the scope of what lies in a directory."""
        scope = self.by_prefix.get(directory)
        return self.at(directory) if scope is None else Within(directory, scope)

    def holds(self, directory: bytes) -> bool:
        """Whether a directory is the root of a scope, or below one."""
        return self.of_directory(directory) is not None


def find_scopes(resolver: Resolver, mounts: MountTable, mountinfo: bytes, root: bytes) -> Scopes:
    """Return the scopes of a root whose path on this system is `root`; `mountinfo` is this process's own."""
    files = RootFiles(resolver)
    named: list[tuple[bytes, Scope]] = [
        (found.root, _container_scope(found))
        for found in containers(files, sorted(mounts.points))
        if found.root in mounts.points
    ]
    merged = {prefix for prefix, _ in named}
    named += [
        (found.directory, Scope(POD_VOLUME, _bytes(f"{found.workload}/{found.name}"), found.pod))
        for found in volumes(files)
    ]
    outside = root.rstrip(b"/")
    # Written as the engine saw them, which may be outside of this root.
    found_layers = [
        (point, layer[len(outside) :] if layer.startswith(outside + b"/") else layer)
        for point, layer in layers(mountinfo, frozenset(outside + point for point in merged))
    ]
    return Scopes(dict(_apart(named)), _canonical(resolver, found_layers, merged))


def _container_scope(found: Container) -> Scope:
    name, (namespace, pod) = found.name, found.pod
    kubelets = _KUBELETS.match(name)
    if kubelets is not None:
        name, pod, namespace = kubelets[1], kubelets[2], kubelets[3]
    if pod:
        name = f"{workload_of(namespace, pod)}/{name}"
    return Scope(CONTAINER, _bytes(f"{name} ({found.image})" if found.image else name), found.id)


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape").replace(b"\0", b"")


def _apart(named: Iterable[tuple[bytes, Scope]]) -> Iterator[tuple[bytes, Scope]]:
    """Yield scopes so that no two have one name: replicas of a workload are numbered."""
    same: dict[tuple[str, bytes], list[tuple[bytes, Scope]]] = defaultdict(list)
    for prefix, scope in dict(named).items():
        same[scope.kind, scope.name].append((prefix, scope))
    for group in same.values():
        group.sort(key=lambda each: (each[1].instance, each[0]))
        for number, (prefix, scope) in enumerate(group, start=1):
            name = scope.name if number == 1 else scope.name + b" #%d" % number
            yield prefix, replace(scope, name=name)


def _canonical(
    resolver: Resolver, found: Iterable[tuple[bytes, bytes]], merged: set[bytes]
) -> Iterator[bytes]:
    for _, layer in found:
        end = resolver.resolve(layer)
        if not isinstance(end, Resolved) or not end.path.startswith(_STORES):
            continue
        if not any((point + b"/").startswith(end.path + b"/") for point in merged):
            yield end.path


class ScopedResolver(Resolver):
    """Resolves links of a scope as its processes would: an absolute one leads from the scope's root."""

    def __init__(self, root_fd: int, mounts: MountTable, *, network: bool, scopes: Scopes) -> None:
        super().__init__(root_fd, mounts, network=network)
        self._root = root_fd
        self._all_mounts = mounts
        self._with_network = network
        self._scopes = scopes
        # The walk goes scope by scope.
        self._last: tuple[bytes, int, Resolver] | None = None

    def resolve(self, path: bytes, *, follow_last: bool = True) -> Resolved | Unresolved:
        """Return the end of `path`, in its own scope (see Resolver)."""
        within = self._scopes.at(path)
        if within is None:
            return super().resolve(path, follow_last=follow_last)
        prefix = within.prefix
        try:
            inner = self.inside(prefix)
        except OSError:
            return super().resolve(path, follow_last=follow_last)
        end = inner.resolve(path[len(prefix) :], follow_last=follow_last)
        return replace(end, path=prefix + end.path.rstrip(b"/"))

    def is_scoped(self, directory: bytes) -> bool:
        """Whether links in a directory are a scope's."""
        return self._scopes.holds(directory)

    def inside(self, prefix: bytes) -> Resolver:
        """Return the resolver of one scope; the one before is of no use then. OSError if it is gone."""
        if self._last is not None and self._last[0] == prefix:
            return self._last[2]
        self.close()
        components = [name for name in prefix.split(b"/") if name]
        fd = open_beneath(self._root, components, PASS_DIRECTORY)
        mounts = self._all_mounts.seen_from(prefix)
        self._last = (prefix, fd, Resolver(fd, mounts, network=self._with_network))
        return self._last[2]

    def close(self) -> None:
        """Close the scope's root that was used last."""
        if self._last is not None:
            os.close(self._last[1])
            self._last = None
