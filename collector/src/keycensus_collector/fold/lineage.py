"""Which certificate followed which. Pure.

At one place, what was there before is compared with what is there now. The kinds of steps are those
of the field: same names and issuer with the same key is a renewal, with another key a rekey, and
other names or another issuer a replacement.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass

# Causes of a change that are no news: nothing happened on the host (protos/README.md, 3.2).
_NO_NEWS = frozenset({"parser", "coverage", "reconcile"})


@dataclass(frozen=True, slots=True)
class Leaf:
    """What lineage needs to know of a certificate."""

    sha256: bytes
    subject: bytes
    issuer: bytes
    key_id: bytes
    names: frozenset[str]
    is_ca: bool


@dataclass(frozen=True, slots=True)
class Step:
    """`successor` followed `predecessor` at the place `place_no`."""

    predecessor: bytes
    successor: bytes
    kind: str
    place_no: int = 0


def is_news(cause: str, *uses: str, roles: Iterable[str] = ()) -> bool:
    """Return whether a change of content at a place says that something followed something.

    Retained copies come and go for other reasons, and a trust store is replaced as a whole.
    """
    return cause not in _NO_NEWS and set(uses) == {"live"} and "trust-store" not in roles


def find_steps(before: Sequence[Leaf], after: Sequence[Leaf]) -> list[Step]:
    """Return the steps from one content of a place to the next.

    In a chain only the end-entity certificates count. Certificates pair by key, by names and by
    subject; a single one that is left on either side pairs with the other, whatever it says. A
    certificate authority's follows only one of its own name.
    """
    old, new = _leaves(before), _leaves(after)
    kept = {leaf.sha256 for leaf in old} & {leaf.sha256 for leaf in new}
    old = [leaf for leaf in old if leaf.sha256 not in kept]
    new = [leaf for leaf in new if leaf.sha256 not in kept]
    steps: list[Step] = []
    for key_of in _KEYS:
        pairs = _pairs(old, new, key_of)
        steps += [_step(match, successor) for match, successor in pairs]
        paired = {leaf.sha256 for pair in pairs for leaf in pair}
        old = [leaf for leaf in old if leaf.sha256 not in paired]
        new = [leaf for leaf in new if leaf.sha256 not in paired]
    # With others kept in the file, one gone and one come need not have to do with each other.
    if len(old) == len(new) == 1 and not kept and not (old[0].is_ca or new[0].is_ca):
        steps.append(_step(old[0], new[0]))
    return steps


def _leaves(certificates: Sequence[Leaf]) -> list[Leaf]:
    unique = list({certificate.sha256: certificate for certificate in certificates}.values())
    ends = [certificate for certificate in unique if not certificate.is_ca]
    return ends or unique


# By what certificates pair, the strongest first: by identity, by names, by key, and by subject where
# there are no other names. One whose key is None pairs with nothing.
_KEYS: tuple[Callable[[Leaf], Hashable], ...] = (
    lambda leaf: (leaf.subject, leaf.issuer, leaf.names) if leaf.subject else None,
    lambda leaf: (leaf.names, leaf.is_ca) if leaf.names else None,
    lambda leaf: leaf.key_id or None,
    lambda leaf: leaf.subject if leaf.subject and not leaf.names else None,
)


def _pairs(
    old: Sequence[Leaf], new: Sequence[Leaf], key_of: Callable[[Leaf], Hashable]
) -> list[tuple[Leaf, Leaf]]:
    """Return each new certificate that has one with the first old one of its key that is free."""
    free: dict[Hashable, deque[Leaf]] = defaultdict(deque)
    for leaf in old:
        key = key_of(leaf)
        if key is not None:
            free[key].append(leaf)
    return [(free[key].popleft(), leaf) for leaf in new if free.get(key := key_of(leaf))]


def _step(old: Leaf, new: Leaf) -> Step:
    return Step(old.sha256, new.sha256, kind_of(old, new))


def kind_of(old: Leaf, new: Leaf) -> str:
    """Return "renewal", "rekey" or "replacement"."""
    if (old.subject, old.issuer, old.names) != (new.subject, new.issuer, new.names):
        return "replacement"
    return "renewal" if old.key_id and old.key_id == new.key_id else "rekey"
