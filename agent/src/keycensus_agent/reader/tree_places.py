"""Trust-store directories told as one place: their names leave the wire, and come back when they differ.

Each name stays in `place`, so that the sweep goes on as if there were no trees; `tree` holds what is told instead,
and the view `told` is what the collector is to have. Settled at the end of a sweep, when packages and readers are
known, and only if something about a trust store was written since. Inside the sweep's transaction; runs in
the reader.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

from keycensus_agent.model import BlobKind, Cause, Package, Place, key_of
from keycensus_agent.reader.convert import (
    encode_place,
    encode_tree,
    holds_certificates_only,
    place_at,
    place_of,
    tree_names,
)
from keycensus_agent.reader.findings import Findings
from keycensus_agent.reader.state import TREES_MARK, State
from keycensus_agent.reader.trees import FEWEST_NAMES, Candidate, Tree, grow

# Why a name is told no longer, or a tree.
IN_TREE = "in-tree"
NO_TREE = "no-tree"
_SETTLED = b"1"


@dataclass(frozen=True, slots=True)
class _Member:
    """A name as its place has it."""

    key: bytes
    row: bytes
    manifest: bytes


def settle_trees(state: State, findings: Findings, *, parser: bool = False) -> None:
    """Bring trees up to date with the places; `parser`: files were read again to learn more."""
    if state.get(TREES_MARK) == _SETTLED:
        return
    connection = state.connection
    known = {path for (path,) in connection.execute("SELECT path FROM tree")}
    full = connection.execute(
        "SELECT directory FROM place GROUP BY directory HAVING count(*) >= ?", (FEWEST_NAMES,)
    )
    for directory in sorted(known | {path for (path,) in full}):
        settling = _Settling(state, findings, directory, parser=parser)
        settling.settle(grow(directory, settling.candidates()))
    state.put(TREES_MARK, _SETTLED)


class _Settling:
    """One directory: what it was told as, and what it is told as now."""

    def __init__(self, state: State, findings: Findings, directory: bytes, *, parser: bool) -> None:
        self._connection = state.connection
        self._complete = state.complete
        self._findings = findings
        self._directory = directory
        self._parser = parser
        self._places: dict[bytes, Place] = {}
        self._members: dict[bytes, _Member] = {}
        self._inside: set[bytes] = set()

    def candidates(self) -> Iterator[Candidate]:
        """Yield the directory's places with what their files are."""
        rows = self._connection.execute(
            "SELECT path, key, tree, row FROM place WHERE directory = ?", (self._directory,)
        )
        plain: dict[bytes, bool] = {}
        for path, key, tree, row in rows.fetchall():
            place = place_at(path, row)
            name = path.rpartition(b"/")[2]
            self._places[name] = place
            self._members[name] = _Member(key, row, place.manifest)
            if tree:
                self._inside.add(name)
            if place.manifest not in plain:
                plain[place.manifest] = self._is_plain(place.manifest)
            yield Candidate(place, self._package(place), plain[place.manifest])

    def _package(self, place: Place) -> Package | None:
        if not place.target:
            return place.package
        row = self._connection.execute(
            "SELECT row FROM place WHERE path = ?", (place.target,)
        ).fetchone()
        return place_of(row[0]).package if row is not None else None

    def _is_plain(self, manifest: bytes) -> bool:
        data = self._blob(manifest)
        return data is not None and holds_certificates_only(data)

    def _blob(self, digest: bytes) -> bytes | None:
        found = self._connection.execute(
            "SELECT data FROM blob WHERE hash = ?", (digest,)
        ).fetchone()
        return None if found is None else bytes(found[0])

    def settle(self, tree: Tree | None) -> None:
        """Tell the directory as `tree` from now on, or name by name."""
        stored = self._connection.execute(
            "SELECT key, row, manifest FROM tree WHERE path = ?", (self._directory,)
        ).fetchone()
        before = None if stored is None else _Told.of(stored[1], stored[2], self._blob(stored[2]))
        after = None if tree is None else self._told(tree)
        old = b"" if stored is None else bytes(stored[0])
        key = old if after is None else key_of(after.place)
        if old not in (b"", key):
            # The directory is another scope's now: nothing of what was told is of this one.
            self._withdraw(old)
            before = None
        inside = set() if tree is None else {name for name, _ in tree.names}
        # The tree first, and the names before a tree goes: so that nothing is nowhere in between.
        if after is not None and (before is None or before.row != after.row):
            self._keep(key, after)
            self._findings.tell(key, after.row, self._cause(before, after))
        elif after is not None:
            self._findings.offer_again(key)
        for name in sorted(self._inside - inside):
            self._leave(name, before)
        for name in sorted(inside - self._inside):
            self._enter(name, key)
        if after is None and before is not None:
            self._withdraw(key)

    def _withdraw(self, key: bytes) -> None:
        self._connection.execute("DELETE FROM tree WHERE key = ?", (key,))
        cause = Cause.COVERAGE if self._places else Cause.CONTENT
        self._findings.tell(key, None, cause, gone_reason=NO_TREE)

    def _told(self, tree: Tree) -> _Told:
        """Return what is told of a tree; its manifest is kept with the blobs."""
        data = encode_tree(tree.names)
        digest = hashlib.sha256(data).digest()
        self._connection.execute(
            "INSERT OR IGNORE INTO blob VALUES (?, ?, ?)", (digest, BlobKind.MANIFEST.value, data)
        )
        place = replace(tree.place, manifest=digest)
        return _Told(encode_place(place), digest, place, dict(tree.names))

    def _keep(self, key: bytes, told: _Told) -> None:
        self._connection.execute(
            "INSERT OR REPLACE INTO tree VALUES (?, ?, ?, ?, ?)",
            (key, self._directory, told.manifest, told.row, hashlib.sha256(told.row).digest()),
        )

    def _cause(self, before: _Told | None, after: _Told) -> Cause:
        """Return why the tree's row changes: content, if some name leads to something new or to nothing."""
        if not self._complete:
            return Cause.FIRST
        if self._parser:
            return Cause.PARSER
        names = {} if before is None else before.names
        lost = any(name not in self._places for name in names)
        other = any(after.names.get(name, manifest) != manifest for name, manifest in names.items())
        new = any(
            not self._findings.is_told(self._members[name].key)
            for name in after.names.keys() - names.keys()
        )
        if lost or other or new:
            return Cause.CONTENT
        same = before is not None and before.manifest == after.manifest
        return Cause.FACTS if same else Cause.COVERAGE

    def _enter(self, name: bytes, tree: bytes) -> None:
        key = self._members[name].key
        self._connection.execute("UPDATE place SET tree = ? WHERE key = ?", (tree, key))
        self._findings.withdraw(key, IN_TREE)

    def _leave(self, name: bytes, before: _Told | None) -> None:
        """Make a name a place of its own again."""
        member, place = self._members[name], self._places[name]
        self._connection.execute("UPDATE place SET tree = x'' WHERE key = ?", (member.key,))
        names = {} if before is None else before.names
        if names.get(name) != member.manifest:
            cause = Cause.PARSER if self._parser else Cause.CONTENT
        else:
            cause = Cause.COVERAGE if before is not None and before.says(place) else Cause.FACTS
        self._findings.tell(member.key, member.row, cause)


@dataclass(frozen=True, slots=True)
class _Told:
    """A tree as it is told: its row, its manifest, and what both say."""

    row: bytes
    manifest: bytes
    place: Place
    names: dict[bytes, bytes]

    @classmethod
    def of(cls, row: bytes, manifest: bytes, data: bytes | None) -> _Told:
        """Return a stored tree; `data` is its manifest, None if that was lost."""
        return cls(row, manifest, place_of(row), {} if data is None else dict(tree_names(data)))

    def says(self, place: Place) -> bool:
        """Whether all that is told of the tree's files is so of a place's."""
        ours, theirs = self.place, place
        return (ours.facts.mode, ours.facts.uid, ours.facts.gid, ours.readable_by) == (
            theirs.facts.mode,
            theirs.facts.uid,
            theirs.facts.gid,
            theirs.readable_by,
        )
