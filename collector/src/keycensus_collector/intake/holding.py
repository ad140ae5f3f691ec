"""Holdings: which artifact stands on which host, kept true by differences.

A place that changes takes what its old manifest lists and brings what its new one lists; trust
stores count for nothing. Only artifacts whose numbers change are written. Inside intake's
transaction.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain

from sqlalchemy import Connection, Insert, bindparam, delete, select, update

from keycensus_collector.intake.bulk import KEYS, BulkInsert, Keyed
from keycensus_collector.intake.manifests import Artifact, ManifestCache, contents_of, holds_mask
from keycensus_collector.store.engine import upsert
from keycensus_collector.store.schema import holding, place

TRUST_STORE = "trust-store"
RETAINED = "retained"
# Bits of holding.roles; a role of a later agent counts as unknown.
_ROLE_BITS = {"server": 1, "client": 2, "ca": 4, "unknown": 8}
_UNKNOWN_BIT = _ROLE_BITS["unknown"]

_DROP_EMPTY = Keyed(
    delete(holding).where(
        holding.c.host_no == bindparam("host"),
        holding.c.artifact.in_(KEYS),
        holding.c.live <= 0,
        holding.c.retained <= 0,
    )
)
_ROLES_OF = Keyed(
    select(holding.c.artifact, holding.c.kind, holding.c.roles).where(
        holding.c.host_no == bindparam("host"), holding.c.artifact.in_(KEYS)
    )
)
_HELD_BY_HOST = (
    select(place.c.manifest, place.c.role)
    .where(
        place.c.host_no == bindparam("host_no"),
        place.c.gone_ms.is_(None),
        place.c.role != TRUST_STORE,
    )
    .distinct()
)


# Manifests by the role and use in which a place contributes what they list; empty: nothing.
Shares = defaultdict[tuple[str, str], list[bytes]]


def _no_shares() -> Shares:
    return defaultdict(list)


@dataclass(slots=True)
class Moves:
    """What the places of a host stopped to contribute, and what they began to."""

    removed: Shares = field(default_factory=_no_shares)
    added: Shares = field(default_factory=_no_shares)


def _upsert_holding(connection: Connection) -> Insert:
    statement = upsert(connection, holding)
    new = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=["artifact", "host_no", "kind"],
        set_={
            "live": holding.c.live + new.live,
            "retained": holding.c.retained + new.retained,
            "roles": holding.c.roles.op("|")(new.roles),
        },
    )


_UPSERT = BulkInsert(_upsert_holding, [column.name for column in holding.columns])


def holds_of(
    connection: Connection, manifests: set[bytes], cache: ManifestCache
) -> Mapping[bytes, int]:
    """Return of manifests, and of none, what `place.holds` says of a place with it.

    The result may hold other manifests too.
    """
    named = manifests - {b""}
    contents, known = contents_of(connection, named, cache), cache.holds()
    if not named.difference(known):
        return known
    # The cache began anew while they were looked up.
    return {b"": 0, **{hash_: holds_mask(contents[hash_]) for hash_ in named}}


def apply_moves(connection: Connection, host_no: int, moves: Moves, cache: ManifestCache) -> None:
    """Write what the moves change of the host's holdings. Call it after the places are written."""
    counts = _counts(connection, moves, cache)
    lowered: set[bytes] = set()
    for (role_bit, is_retained), counter in sorted(counts.items()):
        rows = [
            (
                artifact,
                host_no,
                kind,
                0 if is_retained else number,
                number if is_retained else 0,
                role_bit if number > 0 else 0,
            )
            for (artifact, kind), number in counter.items()
            if number
        ]
        rows.sort()
        _UPSERT.run(connection, rows)
        if moves.removed:
            lowered.update(artifact for (artifact, _), number in counter.items() if number < 0)
    if lowered:
        _DROP_EMPTY.run(connection, lowered, host=host_no)
        _correct_roles(connection, host_no, lowered, cache)


def _counts(
    connection: Connection, moves: Moves, cache: ManifestCache
) -> dict[tuple[int, bool], Counter[Artifact]]:
    """Return how many places more (or fewer) hold each artifact, by role bit and use."""
    added = _by_role_and_use(moves.added)
    removed = _by_role_and_use(moves.removed)
    manifests = set(chain(*added.values(), *removed.values()))
    contents = contents_of(connection, manifests, cache)
    counts = {
        group: Counter(chain.from_iterable(map(contents.__getitem__, shared)))
        for group, shared in added.items()
    }
    for group, shared in removed.items():
        counts.setdefault(group, Counter()).subtract(
            chain.from_iterable(map(contents.__getitem__, shared))
        )
    return counts


def _by_role_and_use(shares: Shares) -> dict[tuple[int, bool], list[bytes]]:
    result: dict[tuple[int, bool], list[bytes]] = {}
    for (role, use), manifests in shares.items():
        if role != TRUST_STORE:
            group = _ROLE_BITS.get(role, _UNKNOWN_BIT), use == RETAINED
            result.setdefault(group, []).extend(filter(None, manifests))
    return result


def _correct_roles(
    connection: Connection, host_no: int, artifacts: set[bytes], cache: ManifestCache
) -> None:
    """Recompute the roles of artifacts that lost a place and are left with several roles.

    Differences can add a role's bit but not tell when its last place went. Rare: most artifacts
    stand in one role only.
    """
    doubtful = {
        (row.artifact, row.kind) for row in _ROLES_OF.rows(connection, artifacts, host=host_no)
    }
    if not doubtful:
        return
    rows = connection.execute(_HELD_BY_HOST, {"host_no": host_no})
    held = [(manifest, role) for manifest, role in rows if manifest]
    contents = contents_of(connection, {manifest for manifest, _ in held}, cache)
    roles = dict.fromkeys(doubtful, 0)
    for manifest, role in held:
        bit = _ROLE_BITS.get(role, _UNKNOWN_BIT)
        for artifact in contents[manifest]:
            if artifact in roles:
                roles[artifact] |= bit
    for (artifact, kind), mask in sorted(roles.items()):
        connection.execute(
            update(holding)
            .where(
                holding.c.host_no == host_no,
                holding.c.artifact == artifact,
                holding.c.kind == kind,
            )
            .values(roles=mask)
        )
