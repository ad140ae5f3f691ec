"""What a query means, the slow way: walk every place of every thing and look.

Independent of the compiled queries: a condition is a function of objects here, and the rules of the
language (one place for all of a query; not on a place; any and none; what is unknown) are written
down a second time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from fakes.small_inventory import (
    DAY,
    NOW,
    Certificate,
    Entry,
    Host,
    Inventory,
    Key,
    Place,
    State,
)

from keycensus_collector.query.model import And, Node, Not, Or, Places, Term


@dataclass(frozen=True)
class Row:
    """A thing, and one way in which it stands somewhere; None: nothing of that sort."""

    made: Inventory
    moment: int | None
    certificate: Certificate | None = None
    key: Key | None = None
    entry: Entry | None = None
    state: State | None = None
    place: Place | None = None
    host: Host | None = None
    paths: tuple[str, ...] = ()  # of the place, of a name in its tree, or of all of them


Predicate = Callable[[Row], bool | None]
Leaves = dict[Term, Predicate]


def listed(
    made: Inventory, target: str, node: Node, leaves: Leaves, moment: int | None
) -> set[object]:
    """Return the identities of what a query lists."""
    named = {term.field for term in _terms(node)}
    artifacts = bool(named & ARTIFACT_FIELDS) or target in {"certificates", "keys"}
    found: set[object] = set()
    for identity, rows in _things(made, target, moment):
        listing = _Listing(list(rows), leaves, named, in_scope=artifacts)
        if any(listing.holds(node, row) and listing.scope(row) for row in listing.rows):
            found.add(identity)
    return found


ARTIFACT_FIELDS = {
    *("name", "san", "cn", "issuer", "expires", "ca", "eku", "under", "private-key", "certificate"),
    *(
        "sealed",
        "key",
        "bits",
        "places",
        "hosts",
        "found",
        "gone",
        "sha256",
        "key-id",
        "first-seen",
    ),
}


@dataclass
class _Listing:
    rows: list[Row]
    leaves: Leaves
    named: set[str]
    in_scope: bool

    def scope(self, row: Row) -> bool:
        if self.named & {"found", "gone"} or not self.in_scope:
            return True
        if "use" not in self.named and (row.state is None or row.state.use == "retained"):
            return False
        return "role" in self.named or (row.state is not None and row.state.role != "trust-store")

    def holds(self, node: Node, row: Row, *, negated: bool = False) -> bool:
        if isinstance(node, Not):
            return self.holds(node.inner, row, negated=not negated)
        if isinstance(node, And | Or):
            parts = [self.holds(part, row, negated=negated) for part in node.parts]
            return all(parts) if isinstance(node, And) != negated else any(parts)
        if isinstance(node, Places):
            some = any(self.holds(node.inner, other) and self.scope(other) for other in self.rows)
            return (some == node.exist) != negated
        assert isinstance(node, Term)
        known = self.leaves[node](row)
        return known is not None and known != negated


def _things(
    made: Inventory, target: str, moment: int | None
) -> Iterator[tuple[object, Iterator[Row]]]:
    empty = Row(made, moment)
    if target == "certificates":
        for certificate in made.certificates.values():
            if moment is None or certificate.first_seen_ms <= moment:
                alone = replace(empty, certificate=certificate)
                yield certificate.sha256, _placed(alone, "certificate", certificate.sha256)
    elif target == "keys":
        for key in made.keys.values():
            rows = list(_placed(replace(empty, key=key), key.kind, key.key_id))[1:]
            yield key.key_id, iter(rows)
    else:
        yield from _others(empty, target)


def _others(empty: Row, target: str) -> Iterator[tuple[object, Iterator[Row]]]:
    if target == "places":
        for place in empty.made.places:
            state = place.at(empty.moment)
            if state is not None:
                # A tree is one place: each name in it is a path of it.
                paths = (place.path, *(path_of(place, entry) for entry in state.entries))
                yield place.number, _entries(empty, place, state, paths)
        return
    for host in empty.made.hosts:
        if empty.moment is None or host.created_ms <= empty.moment:
            yield host.number, _on_host(replace(empty, host=host), host)


def _placed(alone: Row, kind: str, artifact: bytes) -> Iterator[Row]:
    yield alone
    for entry, state, place in alone.made.placements(alone.moment):
        if (entry.kind, entry.artifact) == (kind, artifact):
            paths = (path_of(place, entry),)
            yield replace(
                alone, entry=entry, state=state, place=place, host=place.host, paths=paths
            )


def path_of(place: Place, entry: Entry) -> str:
    """Return where an entry stands: a tree's, at its name there."""
    return f"{place.path}/{entry.name}" if entry.name else place.path


def _entries(empty: Row, place: Place, state: State, paths: tuple[str, ...] = ()) -> Iterator[Row]:
    alone = replace(empty, place=place, state=state, host=place.host, paths=paths or (place.path,))
    yield alone
    made = empty.made
    for entry in state.entries:
        yield replace(
            alone,
            entry=entry,
            paths=paths or (path_of(place, entry),),
            certificate=made.certificates.get(entry.artifact)
            if entry.kind == "certificate"
            else None,
            key=made.keys.get(entry.artifact) if entry.kind == "private-key" else None,
        )


def _on_host(alone: Row, host: Host) -> Iterator[Row]:
    yield alone
    for place in alone.made.places:
        state = place.at(alone.moment)
        if place.host is host and state is not None:
            yield from _entries(alone, place, state)


def _terms(node: Node) -> Iterator[Term]:
    if isinstance(node, And | Or):
        for part in node.parts:
            yield from _terms(part)
    elif isinstance(node, Not | Places):
        yield from _terms(node.inner)
    elif isinstance(node, Term):
        yield node


# --- conditions, as functions ---------------------------------------------------------------------


def of_certificate(look: Callable[[Certificate], bool | None]) -> Predicate:
    return lambda row: None if row.certificate is None else look(row.certificate)


def of_either(look: Callable[[Certificate | Key], bool | None]) -> Predicate:
    def predicate(row: Row) -> bool | None:
        thing = row.certificate or row.key
        return None if thing is None or thing.algorithm is None else look(thing)

    return predicate


def of_entry(look: Callable[[Entry], bool | None]) -> Predicate:
    return lambda row: None if row.entry is None else look(row.entry)


def of_state(look: Callable[[State], bool | None]) -> Predicate:
    return lambda row: None if row.state is None else look(row.state)


def of_path(look: Callable[[str], bool]) -> Predicate:
    return lambda row: None if row.place is None else any(map(look, row.paths))


def of_host(look: Callable[[Host], bool | None]) -> Predicate:
    return lambda row: None if row.host is None else look(row.host)


def expires(bound: int, *, before: bool) -> Predicate:
    """Compare the end with `bound` milliseconds from the moment asked for."""

    def predicate(row: Row) -> bool | None:
        if row.certificate is None or row.certificate.not_after_ms is None:
            return None
        end, edge = row.certificate.not_after_ms, (row.moment or NOW) + bound
        return end < edge if before else end > edge

    return predicate


def has_private_key(row: Row) -> bool | None:
    if row.certificate is None:
        return None
    kinds = (("private-key", row.certificate.key_id),)
    return any((e.kind, e.artifact) in kinds for e, _, _ in row.made.placements(row.moment))


def has_certificate(row: Row) -> bool | None:
    if row.key is None or row.key.kind != "private-key":
        return None
    certificates = row.made.certificates
    return any(
        e.kind == "certificate" and certificates[e.artifact].key_id == row.key.key_id
        for e, _, _ in row.made.placements(row.moment)
    )


def is_below(parent: Callable[[Inventory], bytes]) -> Predicate:
    """Whether a certificate is below one, or below one of the same key; see `below`."""

    def predicate(row: Row) -> bool | None:
        if row.certificate is None:
            return None
        key_id = row.made.certificates[parent(row.made)].key_id
        return row.certificate.sha256 in below(row.made, {key_id})

    return predicate


def below(made: Inventory, keys: set[bytes], also: frozenset[bytes] = frozenset()) -> set[bytes]:
    """Return what certificates of these keys issued, or the certificates `also`, and so on.

    Each round looks at all: what is found and is an authority has its key added.
    """
    found: set[bytes] = set()
    while True:
        more = {
            one.sha256
            for one in made.certificates.values()
            for up in one.parents
            if up in also or made.certificates[up].key_id in keys
        }
        if more == found:
            return found
        found = more
        keys = keys | {
            made.certificates[each].key_id for each in found if made.certificates[each].is_ca
        }


def marked(made: Inventory, marks: Iterable[tuple[str, bytes]]) -> set[bytes]:
    """Return the certificates that marks (kind, subject) reach."""
    keys = {subject for kind, subject in marks if kind == "key"}
    named = frozenset(subject for kind, subject in marks if kind == "certificate")
    own = {c.sha256 for c in made.certificates.values() if c.sha256 in named or c.key_id in keys}
    of_authorities = {
        made.certificates[each].key_id for each in named if made.certificates[each].is_ca
    }
    return own | below(made, keys | of_authorities, named)


def is_somewhere(row: Row) -> bool | None:
    if row.certificate is None:
        return None
    return any(e.artifact == row.certificate.sha256 for e, _, _ in row.made.placements(row.moment))


def went(age: int, *, within: bool) -> Predicate:
    """Whether a certificate is nowhere, and the last place that held it did so until `age` ago, or longer ago."""

    def predicate(row: Row) -> bool | None:
        if row.certificate is None:
            return None
        moment = NOW if row.moment is None else row.moment
        until = [
            state.to_ms
            for place in row.made.places
            for state in place.states
            if any(e.artifact == row.certificate.sha256 for e in state.entries)
            and state.to_ms is not None
            and state.to_ms <= moment
        ]
        if is_somewhere(row) or not until:
            return False
        return (max(until) > moment - age) == within

    return predicate


def count_of(what: str, look: Callable[[int], bool]) -> Predicate:
    def predicate(row: Row) -> bool | None:
        if row.certificate is None and (row.key is None or row.key.kind != "private-key"):
            return None
        artifact = row.certificate.sha256 if row.certificate else row.key.key_id  # type: ignore[union-attr]
        kind = "certificate" if row.certificate else "private-key"
        places = [
            (entry, state, place)
            for entry, state, place in row.made.placements(row.moment)
            if (entry.kind, entry.artifact) == (kind, artifact)
        ]
        if what == "hosts":
            return look(len({place.host.number for _, _, place in places}))
        live = [(place, entry) for entry, state, place in places if state.use != "retained"]
        return look(len({(place.number, entry.name) for place, entry in live}))

    return predicate


def days(count: int) -> int:
    return count * DAY
