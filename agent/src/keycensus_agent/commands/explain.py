"""`keycensus-agent explain PATH`: every step that decides whether a file is a finding, in order."""

from __future__ import annotations

import argparse
import os
import stat
from collections.abc import Iterator
from dataclasses import replace

from keycensus_agent.commands.targets import Targets, context_of, targets_of
from keycensus_agent.context.bindings import NOTHING, Context
from keycensus_agent.context.packages import PackageDatabases
from keycensus_agent.model import Coverage, Finding, Gap, Place
from keycensus_agent.output.around import binding_line, renewal_line
from keycensus_agent.output.records import entry_records, group_of, owner_of
from keycensus_agent.parser.archive.policy import is_searched
from keycensus_agent.parser.triage import HEAD_BYTES, Triage, search_of, text_cap, triage
from keycensus_agent.reader.discovery.directory import Directory
from keycensus_agent.reader.discovery.links import (
    OPEN_DIRECTORY,
    Resolved,
    Resolver,
    Unresolved,
    errno_name,
)
from keycensus_agent.reader.discovery.mounts import Territory, parent_of, territory
from keycensus_agent.reader.discovery.walk import walk
from keycensus_agent.reader.inspect import SMALLEST_BYTES, Inspected, Inspector
from keycensus_agent.reader.parser_client import ParserClient
from keycensus_agent.reader.places import PlaceBuilder
from keycensus_agent.reader.unopened import unopened_in
from keycensus_agent.text import counted, safe_path, safe_text

_NOT_THERE = 2
_ENTRIES_SHOWN = 20
_BINDINGS_SHOWN = 10


def run(arguments: argparse.Namespace) -> int:
    """Explain each PATH; returns 0, or 2 if one is not there."""
    targets = targets_of(arguments)
    for problem in targets.problems:
        print(problem)
    roots = targets.request.roots
    # An absolute argument comes with a second slash before it.
    places = frozenset(b"/" + path.lstrip(b"/") for path in roots)
    context = context_of(targets, places) if roots else NOTHING
    for number, path in enumerate(targets.request.roots):
        if number:
            print()
        for text in explain(path, targets, context):
            print(text)
    return _NOT_THERE if targets.problems else 0


def explain(path: bytes, targets: Targets, context: Context = NOTHING) -> Iterator[str]:
    """Yield the reasons for one absolute path within the root, a line each.

    `context` says who uses and renews it.
    """
    root_fd = os.open(targets.request.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield from _Explanation(targets, root_fd, context).of(path)
    finally:
        os.close(root_fd)


class _Explanation:
    def __init__(self, targets: Targets, root_fd: int, context: Context) -> None:
        self._targets = targets
        self._request = targets.request
        self._mounts = targets.mounts
        self._root_fd = root_fd
        self._resolver = Resolver(root_fd, targets.mounts, network=targets.request.network)
        self._context = context

    def of(self, path: bytes) -> Iterator[str]:
        name = self._resolver.resolve(path, follow_last=False)
        yield safe_path(name.path)
        end = self._resolver.resolve(path)
        if isinstance(end, Unresolved):
            yield f"  path        stops at {safe_path(end.path)}: {end.reason}"
            yield from self._around(name.path, b"")
            yield "  so          not seen: the walk can't come here"
            return
        if end.path != name.path:
            yield f"  link        leads to {safe_path(end.path)}"
        yield from self._ground(end.path)
        yield from self._around(name.path, end.path)
        refusal = self._refusal(name.path) or self._refusal(end.path)
        if refusal:
            yield f"  so          not seen: {refusal}"
            return
        if stat.S_ISDIR(end.facts.st_mode):
            yield from self._directory(end)
        elif stat.S_ISREG(end.facts.st_mode):
            yield from self._file(name.path, end)
        else:
            yield f"  file        {_kind(end.facts.st_mode)}"
            yield "  so          not seen: only regular files are opened"

    def _ground(self, path: bytes) -> Iterator[str]:
        mount = self._mounts.at(path)
        source = f" from {safe_path(mount.source)}" if mount.source else ""
        kind = f"{safe_text(mount.type)}{source}" if mount.type else "unknown"
        yield f"  mount       {safe_path(mount.mount_point)}: {kind}, {territory(mount.type).value}"

    def _around(self, path: bytes, target: bytes) -> Iterator[str]:
        """Say which configurations name the place, and who renews it."""
        bindings = self._context.bindings_of(path, target if target != path else b"")
        for binding in bindings[:_BINDINGS_SHOWN]:
            yield f"  used by     {binding_line(binding)}"
        if len(bindings) > _BINDINGS_SHOWN:
            yield f"  and         {len(bindings) - _BINDINGS_SHOWN:,} more"
        renewer = self._context.renewer_of(path, target)
        if renewer is not None:
            yield f"  renewed by  {renewal_line(renewer)}"

    def _refusal(self, path: bytes) -> str:
        """Say why the walk from the root would not come to `path`; "" if it would."""
        here = path
        while here != b"/":
            if here in self._request.exclude.own:
                return "the agent's own state directory; it reports its identity by itself"
            reason = self._request.exclude.reason(here, here.rpartition(b"/")[2])
            if reason:
                return f"{safe_path(here)} is excluded by {reason}"
            here = parent_of(here)
        ground = territory(self._mounts.at(path).type)
        if ground is Territory.NETWORK and not self._request.network:
            return "on a network file system; --network-file-systems goes there"
        if ground is Territory.PSEUDO:
            return "on a pseudo file system, where nothing is stored"
        if ground is Territory.AUTOMATIC:
            return "on an automount, which the walk does not trigger"
        return self._closed_directory(path)

    def _closed_directory(self, path: bytes) -> str:
        """Say which directory on the way can't be listed; "" if all can."""
        descriptor = os.dup(self._root_fd)
        here = b""
        try:
            for name in [part for part in path.split(b"/") if part][:-1]:
                here += b"/" + name
                entered = os.open(name, OPEN_DIRECTORY, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = entered
        except OSError as error:
            return f"{safe_path(here)} can't be listed ({errno_name(error)})"
        finally:
            os.close(descriptor)
        return ""

    def _directory(self, end: Resolved) -> Iterator[str]:
        for item in walk(
            [end.path],
            root=self._request.root,
            exclude=self._request.exclude,
            mounts=self._mounts,
            network=self._request.network,
        ):
            if isinstance(item, Gap):
                yield f"  listing     {safe_path(item.prefix)}: {item.reason} {safe_text(item.detail)}"
                yield "  so          not seen"
                return
            yield (
                f"  directory   {counted(len(item.files), 'file')}, "
                f"{counted(len(item.links), 'link')}, "
                f"{counted(len(item.children), 'directory', 'directories')} to enter, "
                f"{len(item.pruned):,} passed over"
            )
            for name, gap in item.pruned:
                reason = f"{gap.reason} {safe_text(gap.detail)}".rstrip() if gap else "by policy"
                yield f"  passed over {safe_path(os.fsencode(name))}: {reason}"
            yield "  so          walked"
            return

    def _file(self, path: bytes, end: Resolved) -> Iterator[str]:
        facts = end.facts
        yield f"  file        {facts.st_size:,} bytes, mode {stat.S_IMODE(facts.st_mode):04o}"
        if facts.st_size < SMALLEST_BYTES:
            yield f"  so          not opened: nothing that is known has under {SMALLEST_BYTES} bytes"
            return
        for rule in unopened_in(parent_of(end.path)).rules:
            if end.path.endswith(tuple(map(os.fsencode, rule.endings))):
                yield f"  counted     {rule.counter}: 1"
                yield "  so          not opened: names like this hold no keys in this directory"
                return
        found: list[Inspected] = []
        coverage = Coverage()
        try:
            fd = self._resolver.open_parent(end.path)
        except OSError as error:
            yield f"  so          not seen: its directory can't be opened ({errno_name(error)})"
            return
        try:
            mount = self._mounts.at(end.path)
            directory = Directory(parent_of(end.path), fd, mount, [], [], [], [], listed=False)
            name = os.fsdecode(end.path.rpartition(b"/")[2])
            yield from self._head(fd, name, end)
            with ParserClient(passwords=self._targets.passwords, details=True) as parser:
                inspector = Inspector(parser, found.append, coverage)
                inspector.inspect(directory, name, facts.st_size)
                inspector.finish()
        finally:
            os.close(fd)
        for counter, count in sorted(coverage.counters.items()):
            if counter.startswith("archive"):
                yield f"  counted     {counter}: {count:,}"
        for gap in coverage.gaps:
            yield f"  gap         {gap.reason} {safe_text(gap.detail)}".rstrip()
        yield from self._result(path, end, found)

    def _head(self, directory_fd: int, name: str, end: Resolved) -> Iterator[str]:
        """Say what the first bytes lead to."""
        try:
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory_fd)
        except OSError as error:
            yield f"  open        {errno_name(error)}"
            return
        try:
            verdict = triage(os.read(fd, HEAD_BYTES), end.facts.st_size)
        except OSError as error:
            yield f"  read        {errno_name(error)}"
            return
        finally:
            os.close(fd)
        yield f"  first bytes {_first_bytes(verdict, end.path)}"

    def _result(self, path: bytes, end: Resolved, found: list[Inspected]) -> Iterator[str]:
        if not found:
            yield "  so          opened, and holds nothing that is looked for"
            return
        inspected = found[0]
        parsed = inspected.parsed
        if parsed is None:
            yield "  parser      no format finds anything in it"
            yield "  so          opened and parsed, and holds nothing that is looked for"
            return
        reason = f" ({safe_text(parsed.reason)})" if parsed.reason else ""
        yield f"  format      {parsed.format or 'none'}, {parsed.status.value}{reason}"
        builder = PlaceBuilder(b"", self._request.root)
        place = builder.build(end.path, inspected.facts, parsed)
        if path != end.path:
            place = builder.for_link(path, end.path, place)
        owners = PackageDatabases(self._resolver).owners([path])
        yield from _place(replace(place, package=owners.by_path.get(path)))
        records = entry_records(Finding(place, parsed), {})
        for number, record in enumerate(records[:_ENTRIES_SHOWN], start=1):
            what = record.get("subject") or record.get("algorithm") or record.get("sha256") or ""
            where = f" in {record['member']}" if "member" in record else ""
            yield f"  entry {number:<5} {record['kind']} {what}".rstrip() + where
        if len(records) > _ENTRIES_SHOWN:
            yield f"  and         {len(records) - _ENTRIES_SHOWN:,} more entries"
        yield "  so          seen: a place"


def _first_bytes(verdict: Triage, path: bytes) -> str:
    """Say what the first bytes of the file at `path` lead to."""
    match verdict:
        case Triage.TEXT:
            return f"text: searched for {_searched_for(path)}"
        case Triage.CANDIDATE:
            return "a keystore or DER: read whole and parsed"
        case Triage.PROGRAM:
            return "a program: only an archive at its end is looked for"
        case Triage.ARCHIVE if is_searched(path):
            return "an archive, or compressed: each member is looked at as a file is"
        case Triage.ARCHIVE:
            return "an archive where policy does not look: a distribution's documents and the like"
        case _:
            return "nothing that is known starts like this"


def _searched_for(path: bytes) -> str:
    """Say what the text at `path` is searched for, and how much of it."""
    cap, search = text_cap(path), search_of(path)
    said = f"PEM blocks, up to {cap // 1024:,} KiB of it here"
    if search.base64:
        said += f"; for base64 of such, {min(cap, search.base64) // 1024:,} KiB"
    return f"{said}; for other forms of keys {'too' if search.others else 'not, by place and name'}"


def _place(place: Place) -> Iterator[str]:
    yield (
        f"  place       {owner_of(place)}:{group_of(place)}, readable by {place.readable_by}, "
        f"role {place.role.value}, {place.use.value}"
    )
    if place.package is not None:
        owner = f"{place.package.name} {place.package.version}".rstrip()
        yield f"  package     {safe_text(owner)} ({place.package.kind})"


def _kind(mode: int) -> str:
    for test, name in (
        (stat.S_ISFIFO, "a FIFO"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISBLK, "a block device"),
        (stat.S_ISCHR, "a character device"),
    ):
        if test(mode):
            return name
    return "of an unknown kind"
