"""Compare the disk with what was known, open what changed, and note what is to be reported.

1. Walk, and compare each directory with what is remembered of it (`comparison`).
2. Now and then, and at the end: wait for the parser, store what it found (`unsettled`).
3. Files that changed just before they were read are read once more, when their clock has ticked.
4. Links: a link is a place when its target holds something. Then packages, who can read a place, and
   trust stores that are told as one.
5. Gaps: what could not be looked at, and mounts that are not there. What was known there stays.

A sweep that is stopped has stored what it saw, and nothing is gone because it did not get there. If asked to,
it notes how far it came (`progress`), and another one goes on there; the links of what it does not see again
are taken from memory.
Runs in the reader.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from keycensus_agent.model import Coverage, Gap
from keycensus_agent.reader.absence import absent_mounts, former_roots
from keycensus_agent.reader.comparison import COARSE_STAMP_NS, Comparison, MakeInspector
from keycensus_agent.reader.discovery.directory import Directory
from keycensus_agent.reader.findings import Findings
from keycensus_agent.reader.link_places import LinkPlaces
from keycensus_agent.reader.memory import DirectoryMemory, order_key
from keycensus_agent.reader.place_context import settle_context
from keycensus_agent.reader.progress import Progress, forget, save
from keycensus_agent.reader.state import State
from keycensus_agent.reader.surroundings import Surroundings
from keycensus_agent.reader.tree_places import settle_trees

# What is stored in one transaction: few enough to lose little, many enough to sync rarely.
DIRECTORIES_PER_TRANSACTION = 2000
_COUNTED_AT_THE_END = ("directories", "files")


class Sweep:
    """One pass over the disk. `run()` yields at points where everything seen so far is stored."""

    def __init__(
        self,
        state: State,
        findings: Findings,
        make_inspector: MakeInspector,
        links: LinkPlaces,
        surroundings: Surroundings,
        *,
        reread: bool = False,
        rules: str = "",
        gone_on_with: Progress | None = None,
    ) -> None:
        self._state = state
        self._findings = findings
        self._links = links
        self._around = surroundings
        self._reread = reread
        # What is searched and how, in a word; empty if nobody will go on with this sweep.
        self._rules = rules
        self._begun = gone_on_with
        # Until the walk is where the sweep before this one stood.
        self._skipping = gone_on_with
        self._reached = b""
        self.coverage = Coverage()
        self._comparison = Comparison(
            state,
            findings,
            make_inspector,
            links,
            surroundings,
            coverage=self.coverage,
            reread=reread,
        )
        self._files = 0
        self._directories = 0
        self._roots: list[bytes] = []
        self.complete = False

    def run(self, roots: list[bytes]) -> Iterator[None]:
        """Sweep `roots`; after the last yield `complete` says whether all of it was seen."""
        self._roots = roots
        if self._begun is not None:
            self._begun.restore(self.coverage)
            self._files, self._directories = self._begun.files, self._begun.directories
        yield from self._pass(roots)
        self.coverage.count("directories", self._directories)
        self.coverage.count("files", self._files)
        self._comparison.settle()
        if self._around.should_stop():
            self._save_progress()
            return
        yield
        yield from settle_unstable(self._comparison, self._around, self.coverage)
        if self._around.should_stop():
            return
        self._finish()
        self.complete = True

    def disturbed(self) -> None:
        """Take note that somebody else wrote to the state between two yields."""
        self._comparison.disturbed()

    # --- 1: walk ------------------------------------------------------------------------------

    def _pass(self, roots: list[bytes]) -> Iterator[None]:
        gaps = self.coverage.gaps
        visited = 0
        for item in self._around.walk_from(roots):
            if self._around.should_stop():
                return
            if isinstance(item, Gap):
                gaps.append(item)
                continue
            if self._was_seen(item):
                continue
            self.coverage.pass_over(item.pruned)
            self._files += len(item.files)
            self._comparison.look_at(item)
            self._reached = item.path
            visited += 1
            self._directories += 1
            if visited % DIRECTORIES_PER_TRANSACTION == 0 or self._comparison.wants_to_settle:
                self._comparison.settle()
                self._save_progress()
                yield

    def _was_seen(self, directory: Directory) -> bool:
        """Whether the sweep that this one goes on with has seen it; what it has not is entered."""
        begun = self._skipping
        if begun is None:
            return False
        # Past it, or at what a walk visits last: file systems below pseudo ones.
        backwards = order_key(directory.path) < order_key(self._reached)
        if backwards or not begun.is_done(directory.path):
            self._skipping = None
            return False
        self._reached = directory.path
        prefix = directory.path.rstrip(b"/") + b"/"
        directory.children = [
            name for name in directory.children if begun.leads_on(prefix + os.fsencode(name))
        ]
        return True

    def _save_progress(self) -> None:
        """Note how far this sweep has come, now that what it saw is stored."""
        if self._rules and self._reached and self._skipping is None:
            save(
                self._state,
                Progress(
                    rules=self._rules,
                    path=self._reached,
                    saved_ms=self._around.now_ns() // 1_000_000,
                    directories=self._directories,
                    files=self._files,
                    counters={
                        name: count
                        for name, count in self.coverage.counters.items()
                        if name not in _COUNTED_AT_THE_END
                    },
                    gaps=tuple(_distinct(self.coverage.gaps)),
                ),
            )

    # --- 4 and 5: links, gaps, done -------------------------------------------------------------

    def _finish(self) -> None:
        gaps = self.coverage.gaps
        with self._state.transaction():
            gaps.extend(absent_mounts(self._state, self._around.reread_mounts()))
            gaps.extend(former_roots(self._state, self._findings, self._roots))
            if self._begun is not None:
                self._meet_remembered(self._begun.path)
            self._links.settle(gaps, self._findings)
            settle_context(
                self._state,
                self._findings,
                self._around.builder,
                self._around.databases,
                self.coverage,
            )
            settle_trees(self._state, self._findings, parser=self._reread)
            self._findings.settle_gaps(_distinct(gaps))
            if not self._state.complete:
                self._state.put_number("complete", 1)
            forget(self._state)

    def _meet_remembered(self, path: bytes) -> None:
        """Meet the links of what was seen before this sweep went on."""
        mounts = self._around.reread_mounts()
        self._links.meet_known(lambda link: mounts.at(link).key)
        for directory, mount, (_, links, _) in DirectoryMemory(self._state).up_to(path):
            prefix = directory.rstrip(b"/") + b"/"
            for name in links:
                self._links.meet_path(prefix + os.fsencode(name), mount)


def settle_unstable(
    comparison: Comparison, around: Surroundings, coverage: Coverage
) -> Iterator[None]:
    """Look again at directories with files that changed just before they were read."""
    if not comparison.unstable:
        return
    wait_ns = max(comparison.unstable.values()) - around.now_ns()
    # A time stamp in the future would have us wait for ever; its file is read next time.
    if 0 < wait_ns <= COARSE_STAMP_NS:
        around.sleep(wait_ns / 1e9 + 0.005)
    again = sorted(comparison.unstable)
    comparison.unstable = {}
    comparison.final = True
    coverage.gaps = [
        gap
        for gap in coverage.gaps
        if not (gap.reason == "changed-while-read" and gap.prefix in comparison.torn)
    ]
    for path in again:
        comparison.look_at_one(path)
        if around.should_stop():
            break
    comparison.settle()
    yield


def _distinct(gaps: list[Gap]) -> list[Gap]:
    return list(dict.fromkeys(gaps))
