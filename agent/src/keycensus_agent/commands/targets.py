"""From the arguments that scan, check and explain share to what is to be scanned.

Runs in the reader. Reads nothing but what the arguments name.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from keycensus_agent.context.bindings import Context
from keycensus_agent.errors import UsageError
from keycensus_agent.reader.discovery.exclude import Exclude
from keycensus_agent.reader.discovery.links import Resolved, Resolver, Unresolved
from keycensus_agent.reader.discovery.mounts import MountTable, read_mountinfo
from keycensus_agent.reader.passwords import PasswordFile, candidate_passwords
from keycensus_agent.reader.scan import ScanRequest
from keycensus_agent.reader.scopes import find_scopes
from keycensus_agent.text import safe_path

_DEFAULT_STATE_DIRECTORY = "/var/lib/keycensus-agent"
# Trouble with a path that its user has to mend; anything else is a gap.
_USER_ERRORS = {
    "ENOENT": "no such file or directory",
    "ENOTDIR": "part of the path is not a directory",
    "ELOOP": "the links of the path go round in circles",
    "ENAMETOOLONG": "the path is too long",
}


@dataclass(frozen=True, slots=True)
class Targets:
    """What to scan, with which passwords; `problems` are lines about paths that are not there."""

    request: ScanRequest
    passwords: PasswordFile
    mounts: MountTable
    problems: tuple[str, ...] = ()


def targets_of(arguments: argparse.Namespace) -> Targets:
    """Understand `paths`, `root`, `exclude`, `network_file_systems`, `state_dir` and the passwords'.

    UsageError if `root` is no directory or an exclude means nothing; ConfigurationError for the
    password file.
    """
    root = _root(arguments.root)
    mounts = MountTable.read(root)
    paths = [_within(root, path) for path in arguments.paths] or [b"/"]
    state = os.path.realpath(os.fsencode(arguments.state_dir or _DEFAULT_STATE_DIRECTORY))
    network: bool = arguments.network_file_systems
    good, problems = _sort_out(root, mounts, paths, network=network)
    layers = _layers(root, mounts, good, network=network)
    exclude = Exclude(tuple(arguments.exclude), own=_own(root, state) | layers)
    return Targets(
        request=ScanRequest(tuple(good), root, exclude, network),
        passwords=candidate_passwords(
            Path(arguments.password_file) if arguments.password_file else None,
            try_defaults=arguments.try_default_passwords,
        ),
        mounts=mounts,
        problems=tuple(problems),
    )


def context_of(targets: Targets, places: Collection[bytes]) -> Context:
    """Return what the configurations of the root say of places, and who renews them.

    Texts of services that are not known are searched for `places`.
    """
    from keycensus_agent.context.gather import gather

    request = targets.request
    root_fd = os.open(request.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        resolver = Resolver(root_fd, targets.mounts, network=request.network)
        return gather(resolver, time.time_ns() // 1_000_000, places)
    finally:
        os.close(root_fd)


def _root(argument: str) -> bytes:
    root = os.path.realpath(os.fsencode(argument))
    try:
        os.close(os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    except OSError as error:
        raise UsageError(f"--root {safe_path(os.fsencode(argument))}: {error.strerror}") from None
    return root


def _within(root: bytes, argument: str) -> bytes:
    """Return a PATH argument as an absolute path within the root.

    With a root of its own, PATH is meant within it; else it is relative to where we are. What ".."
    means is for the resolver to say, which knows the links.
    """
    path = os.fsencode(argument)
    if path.startswith(b"/") or root != b"/":
        return b"/" + path
    return os.fsencode(Path.cwd()) + b"/" + path


def _own(root: bytes, state: bytes) -> frozenset[bytes]:
    if root == b"/":
        return frozenset({state})
    return frozenset({state[len(root) :]} if state.startswith(root + b"/") else ())


def _layers(
    root: bytes, mounts: MountTable, paths: list[bytes], *, network: bool
) -> frozenset[bytes]:
    """Return layers of running containers, whose files are found in the containers; not one that was named."""
    root_fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        resolver = Resolver(root_fd, mounts, network=network)
        layers = find_scopes(resolver, mounts, read_mountinfo(), root).layers
        named = [
            end.path + b"/" for path in paths if isinstance(end := resolver.resolve(path), Resolved)
        ]
    finally:
        os.close(root_fd)
    return frozenset(
        layer for layer in layers if not any(path.startswith(layer + b"/") for path in named)
    )


def _sort_out(
    root: bytes, mounts: MountTable, paths: list[bytes], *, network: bool
) -> tuple[list[bytes], list[str]]:
    good: list[bytes] = []
    problems: list[str] = []
    root_fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        resolver = Resolver(root_fd, mounts, network=network)
        for path in paths:
            end = resolver.resolve(path) if b"\0" not in path else Unresolved(path, "ENOENT")
            trouble = _USER_ERRORS.get(end.reason) if isinstance(end, Unresolved) else None
            if trouble:
                shown = safe_path(path[1:] if path.startswith(b"//") else path)
                problems.append(f"{shown}: {trouble}")
            else:
                good.append(path)
    finally:
        os.close(root_fd)
    return good, problems
