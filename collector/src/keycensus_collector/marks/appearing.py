"""Note where what is marked comes back: a place begins to hold it, in use, while a mark stands.

Two moments can tell: a batch is folded, or a certificate's issuer is found, which may come later. The
first knows the versions that places got; the second looks at the places that hold the certificate now.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, and_, or_, select

from keycensus_collector.fold.chunks import chunked
from keycensus_collector.store.engine import upsert
from keycensus_collector.store.schema import certificate, issuer_edge
from keycensus_collector.store.tables.marks import mark, reappearance

# Longer chains of authorities are made by mistake, or to make others loop.
_CHAIN = 16


@dataclass(frozen=True, slots=True)
class Holding:
    """What a place holds in use from one moment on: certificates and keys, each with its hash."""

    place_no: int
    from_ms: int
    cause: str
    held: frozenset[tuple[str, bytes]]
    before: frozenset[tuple[str, bytes]]  # what it held in use just before


@dataclass(slots=True)
class Standing:
    """The marks that stand: by what they are on, each (number, since)."""

    certificates: dict[bytes, list[tuple[int, int]]]
    keys: dict[bytes, list[tuple[int, int]]]

    def __bool__(self) -> bool:
        return bool(self.certificates or self.keys)


def standing_marks(connection: Connection) -> Standing:
    """Return all marks that stand; mostly there are none, and nothing else is to be done."""
    found = Standing({}, {})
    rows = connection.execute(
        select(mark.c.mark_no, mark.c.kind, mark.c.subject, mark.c.from_ms).where(
            mark.c.to_ms.is_(None)
        )
    )
    for row in rows:
        on = found.certificates if row.kind == "certificate" else found.keys
        on.setdefault(row.subject, []).append((row.mark_no, row.from_ms))
    return found


def marks_reaching(
    connection: Connection, certificates: Iterable[bytes], keys: Iterable[bytes], marks: Standing
) -> dict[tuple[str, bytes], set[tuple[int, int]]]:
    """Return which marks reach which of these, each (number, since): directly, by key, from above."""
    reached: dict[tuple[str, bytes], set[tuple[int, int]]] = defaultdict(set)
    for key in set(keys) & set(marks.keys):
        reached["key", key].update(marks.keys[key])
    asked = set(certificates)
    key_of = _keys_of(connection, asked)
    for sha256 in asked:
        own = {*marks.certificates.get(sha256, ()), *marks.keys.get(key_of.get(sha256, b""), ())}
        if own:
            reached["certificate", sha256].update(own)
    for sha256, above in _authorities_above(connection, asked).items():
        for each in above:
            further = {*marks.certificates.get(each.sha256, ()), *marks.keys.get(each.key_id, ())}
            if further:
                reached["certificate", sha256].update(further)
    return reached


def note_appearances(
    connection: Connection,
    holdings: Sequence[Holding],
    reached: Mapping[tuple[str, bytes], set[tuple[int, int]]],
) -> None:
    """Write down each beginning of a holding that a mark reaches, once."""
    rows = [
        {
            "mark_no": number,
            "kind": kind,
            "artifact": artifact,
            "place_no": holding.place_no,
            "at_ms": holding.from_ms,
            "cause": holding.cause,
        }
        for holding in holdings
        for kind, artifact in sorted(holding.held - holding.before)
        for number, since in sorted(reached.get((kind, artifact), ()))
        if holding.from_ms > since
    ]
    if rows:
        connection.execute(upsert(connection, reappearance).on_conflict_do_nothing(), rows)


def _keys_of(connection: Connection, certificates: Iterable[bytes]) -> dict[bytes, bytes]:
    keys: dict[bytes, bytes] = {}
    for chunk in chunked(sorted(certificates)):
        rows = connection.execute(
            select(certificate.c.sha256, certificate.c.key_id).where(
                certificate.c.sha256.in_(chunk), certificate.c.key_id != b""
            )
        )
        keys |= {row.sha256: row.key_id for row in rows}
    return keys


class _Authority(NamedTuple):
    sha256: bytes
    key_id: bytes
    is_ca: bool


def _authorities_above(
    connection: Connection, certificates: Iterable[bytes]
) -> dict[bytes, set[_Authority]]:
    """Return all authorities above each of these, the same as `query.authorities` finds downwards.

    An authority is its key: all its certificates count, and whatever is above any of them.
    """
    parents: dict[bytes, set[bytes]] = defaultdict(set)
    siblings: dict[bytes, set[_Authority]] = {}
    start = set(certificates)
    level, seen = start, set(start)
    for _ in range(_CHAIN):
        found: set[bytes] = set()
        for chunk in chunked(sorted(level)):
            edges = select(issuer_edge.c.child, issuer_edge.c.parent)
            for child, parent in connection.execute(edges.where(issuer_edge.c.child.in_(chunk))):
                parents[child].add(parent)
                found.add(parent)
        siblings |= _of_same_key(connection, found - set(siblings))
        level = {own.sha256 for each in found for own in siblings[each] if own.is_ca} - seen
        seen |= level
        if not level:
            break
    return {sha256: _closed(sha256, parents, siblings) for sha256 in start if sha256 in parents}


def _closed(
    sha256: bytes,
    parents: Mapping[bytes, set[bytes]],
    siblings: Mapping[bytes, set[_Authority]],
) -> set[_Authority]:
    above: set[_Authority] = set()
    open_ = [sha256]
    while open_:
        for parent in parents.get(open_.pop(), ()):
            fresh = siblings.get(parent, set()) - above
            above |= fresh
            open_ += [own.sha256 for own in fresh if own.is_ca]
    return above


def _of_same_key(
    connection: Connection, certificates: Iterable[bytes]
) -> dict[bytes, set[_Authority]]:
    """Return for each certificate itself, and the authorities' certificates of the same key."""
    own, other = certificate, certificate.alias("other")
    found: dict[bytes, set[_Authority]] = {each: set() for each in certificates}
    for chunk in chunked(sorted(found)):
        same_key = and_(other.c.key_id == own.c.key_id, own.c.key_id != b"", other.c.is_ca)
        rows = connection.execute(
            select(own.c.sha256, other.c.sha256, other.c.key_id, other.c.is_ca)
            .join(other, or_(other.c.sha256 == own.c.sha256, same_key))
            .where(own.c.sha256.in_(chunk))
        )
        for sha256, *authority in rows:
            found[sha256].add(_Authority(*authority))
    return found
