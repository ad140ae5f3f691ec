"""What a listener presents, held against the disk. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from keycensus_agent.usage import Verdict


@dataclass(frozen=True, slots=True)
class Known:
    """A certificate as far as it is compared: hash, key and names in lower case; hostile text."""

    sha256: bytes
    key_id: bytes = b""
    names: frozenset[str] = frozenset()

    def follows(self, other: Known) -> bool:
        """Whether one may stand in the other's place: they share the key, or a name."""
        return (bool(self.key_id) and self.key_id == other.key_id) or bool(self.names & other.names)


def judge(
    leaf: Known,
    bound: Iterable[Known],
    *,
    beside: Collection[bytes] = (),
    on_disk: bool,
) -> Verdict:
    """Return the verdict on what was presented first.

    `bound`: certificates at the places that the configuration names for this listener. `beside`: hashes
    at places that other configuration names for the same listener. `on_disk`: the leaf stands at some
    place of this host.
    """
    named = list(bound)
    if any(each.sha256 == leaf.sha256 for each in named):
        return Verdict.SERVED
    if not named:
        # A listener that no configuration was found for, or whose file can't be read.
        return Verdict.SERVED if on_disk else Verdict.NOT_ON_DISK
    if leaf.sha256 in beside:
        return Verdict.ANOTHER
    if any(each.follows(leaf) for each in named):
        return Verdict.NOT_RELOADED
    return Verdict.ANOTHER if on_disk else Verdict.NOT_ON_DISK
