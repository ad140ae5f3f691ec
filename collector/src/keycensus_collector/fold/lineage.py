"""Which certificate followed which. Pure.

At one place, what was there before is compared with what is there now. The kinds of steps are those
of the field: same names and issuer with the same key is a renewal, with another key a rekey, and
other names or another issuer a replacement.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
    for same in (_same_identity, _same_names, _same_key, _same_subject):
        for successor in list(new):
            match = next((leaf for leaf in old if same(leaf, successor)), None)
            if match is not None:
                steps.append(_step(match, successor))
                old.remove(match)
                new.remove(successor)
    # With others kept in the file, one gone and one come need not have to do with each other.
    if len(old) == len(new) == 1 and not kept and not (old[0].is_ca or new[0].is_ca):
        steps.append(_step(old[0], new[0]))
    return steps


def _leaves(certificates: Sequence[Leaf]) -> list[Leaf]:
    unique = list({certificate.sha256: certificate for certificate in certificates}.values())
    ends = [certificate for certificate in unique if not certificate.is_ca]
    return ends or unique


def _same_identity(old: Leaf, new: Leaf) -> bool:
    return bool(old.subject) and kind_of(old, new) != "replacement"


def _same_names(old: Leaf, new: Leaf) -> bool:
    return bool(old.names) and old.names == new.names and old.is_ca == new.is_ca


def _same_key(old: Leaf, new: Leaf) -> bool:
    return bool(old.key_id) and old.key_id == new.key_id


def _same_subject(old: Leaf, new: Leaf) -> bool:
    return bool(old.subject) and old.subject == new.subject and not (old.names or new.names)


def _step(old: Leaf, new: Leaf) -> Step:
    return Step(old.sha256, new.sha256, kind_of(old, new))


def kind_of(old: Leaf, new: Leaf) -> str:
    """Return "renewal", "rekey" or "replacement"."""
    if (old.subject, old.issuer, old.names) != (new.subject, new.issuer, new.names):
        return "replacement"
    return "renewal" if old.key_id and old.key_id == new.key_id else "rekey"
